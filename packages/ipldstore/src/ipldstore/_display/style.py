"""The style of what is shown in notebooks: the colours of the notebook's theme, light or dark, as xarray takes them."""

from typing import Final

STYLE: Final = """
.ipld{--ipld-text:var(--jp-content-font-color0,var(--vscode-editor-foreground,#222));
--ipld-dim:var(--jp-content-font-color2,var(--vscode-descriptionForeground,#666));
--ipld-line:var(--jp-border-color2,var(--vscode-panel-border,#ddd));
--ipld-back:var(--jp-layout-color0,var(--vscode-editor-background,#fff));
color:var(--ipld-text);background:var(--ipld-back);border:1px solid var(--ipld-line);border-radius:4px;
padding:.5em .8em;max-width:60em;font-size:.95em;line-height:1.5;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){.ipld{--ipld-text:var(--jp-content-font-color0,#eee);
--ipld-dim:var(--jp-content-font-color2,#aaa);--ipld-line:var(--jp-border-color2,#444);--ipld-back:var(--jp-layout-color0,#181818)}}
html[data-theme=dark] .ipld,body[data-jp-theme-light=false] .ipld,body.vscode-dark .ipld{
--ipld-text:var(--jp-content-font-color0,#eee);--ipld-dim:var(--jp-content-font-color2,#aaa);
--ipld-line:var(--jp-border-color2,#444);--ipld-back:var(--jp-layout-color0,#181818)}
html[data-theme=light] .ipld,body[data-jp-theme-light=true] .ipld,body.vscode-light .ipld{
--ipld-text:var(--jp-content-font-color0,#222);--ipld-dim:var(--jp-content-font-color2,#666);
--ipld-line:var(--jp-border-color2,#ddd);--ipld-back:var(--jp-layout-color0,#fff)}
.ipld-title{font-weight:600;border-bottom:1px solid var(--ipld-line);padding-bottom:.3em;margin-bottom:.4em}
.ipld-dim{color:var(--ipld-dim)}
.ipld summary{cursor:pointer}
.ipld details{margin:.2em 0}
.ipld details details,.ipld .ipld-array{margin-left:1.2em}
.ipld table{border-collapse:collapse;margin:.2em 0 .4em 1.2em;background:none;color:inherit}
.ipld td,.ipld th{padding:.1em .8em .1em 0;text-align:left;vertical-align:top;border:none;background:none;color:inherit}
.ipld th{white-space:nowrap}
.ipld td:first-child{color:var(--ipld-dim)}
.ipld-facts{display:grid;grid-template-columns:max-content auto;gap:.1em 1em;margin:.2em 0}
.ipld-facts dt{color:var(--ipld-dim);font-weight:normal}.ipld-facts dd{margin:0;font-family:monospace}
.ipld pre{margin:.2em 0;white-space:pre-wrap}
"""
