"""Build the documentation: ``python3 dev.py run docs``.

Why Sphinx: the docstrings are reST, which it reads as they are, and it warns of each name and link that leads nowhere.
The theme is that of numpy, xarray and pandas, so people of the field find their way. Pages are Markdown (MyST).
"""

from __future__ import annotations

from importlib import metadata

project = "ipldstore"
author = "the ipldstore developers"
copyright = f"2026, {author}"  # noqa: A001  # Sphinx's name
release = metadata.version("ipldstore")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

html_theme = "pydata_sphinx_theme"
html_title = "ipldstore"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
# Verbs of private bases are listed with the public class; those of the classes here, and of their bases, are not.
_FOREIGN = "Store, Exception, tuple, Protocol, Mapping, MutableMapping, Generic, IOBase, str, int"
autodoc_default_options = {"members": True, "inherited-members": _FOREIGN, "show-inheritance": True}
# A type such as bytes has the name of attributes of several classes.
suppress_warnings = ["ref.python"]
autodoc_preserve_defaults = True
