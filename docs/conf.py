"""Configuration of Sphinx: ``python -m sphinx -W docs build/site``."""

import softmax_impls

project = "softmax-impls"
author = "The softmax-impls developers"
copyright = "The softmax-impls developers"
version = release = softmax_impls.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # numpydoc docstrings state the types
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "softmax-impls"
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}
html_sidebars = {"**": []}
html_show_sourcelink = False
