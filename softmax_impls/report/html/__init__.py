"""The report as one HTML file, made from Jinja2 templates."""
