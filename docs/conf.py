"""How the site is built: `make docs`. Sphinx with MyST and furo: the API comes from docstrings, links are checked, search works offline.

Zensical and MkDocs build faster, but neither checks a reference to a Python object, and their search needs a server.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "proxyc"
author = "The proxyc authors"
project_copyright = author
version = release = version_of("proxyc")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "generated"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True  # a reference to nothing is an error: `make docs` turns warnings into errors
# Types of other packages, which the site does not link to; and type variables.
nitpick_ignore_regex = [("py:.*", r"(?!(compressors|proxylm|bench)\.).*")]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
add_module_names = False

html_theme = "furo"
html_title = "proxyc"
html_show_sphinx = False
html_show_sourcelink = False
html_show_search_summary = False  # a browser fetches nothing beside a page that was opened as a file
html_static_path = ["_static"]
html_css_files = ["site.css"]
