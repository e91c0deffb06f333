"""Pages: one on the interface, made from its OpenAPI schema, and one for people; nothing comes from elsewhere."""

import importlib.resources

import jinja2
import markupsafe

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Of the page for people: what it loads and calls is of this service, and no other page shows it in a frame."""
_TYPES = {"ui.html": "text/html", "ui.js": "text/javascript", "ui.css": "text/css"}

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ api.info.title }} {{ api.info.version }}</title>
<style>body{font:1rem/1.5 system-ui;max-width:60rem;margin:auto;padding:1rem;color-scheme:light dark}
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}
code{font-size:.95em}</style></head><body>
<h1>{{ api.info.title }} {{ api.info.version }}</h1>
<p>{{ api.info.description }} The schema is <a href="openapi.json">openapi.json</a>.
A key goes into the header <code>Authorization: Bearer KEY</code>.</p>
{% for path, methods in api.paths.items() %}{% for method, one in methods.items() %}
<h2><code>{{ method | upper }} {{ path }}</code></h2>
<p>{{ one.description }}</p>
{% if one.requestBody %}{{ fields(one.requestBody.content["application/json"].schema) }}{% endif %}
{% endfor %}{% endfor %}
</body></html>"""
_FIELDS = """<table><tr><th>field</th><th>meaning</th></tr>
{% for name, field in schema.properties.items() %}
<tr><td><code>{{ name }}</code></td><td>{{ field.description or "" }}</td></tr>{% endfor %}</table>"""


def api_page(schema: dict) -> str:
    """The page of an OpenAPI schema."""
    environment = jinja2.Environment(autoescape=True)

    def fields(reference: dict) -> str:
        name = reference["$ref"].rpartition("/")[2]
        return markupsafe.Markup(environment.from_string(_FIELDS).render(schema=schema["components"]["schemas"][name]))

    return environment.from_string(_TEMPLATE).render(api=schema, fields=fields)


def people_page(name: str) -> tuple[bytes, str] | None:
    """Content and media type of a file of the page for people; None for another name."""
    if name not in _TYPES:
        return None
    return (importlib.resources.files("prouter_jax.serving.service") / "static" / name).read_bytes(), _TYPES[name]
