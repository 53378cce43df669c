"""Archives out of archives: filter, concat, merge, get-dag, split, repair; and a block into an archive.

``ops`` gives their functions to users. They build on the archives, outputs and errors beside this folder.
"""
