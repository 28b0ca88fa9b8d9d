"""Show results: tables in a terminal, figures, an HTML page, and a notebook."""
