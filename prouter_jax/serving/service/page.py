"""A page on the interface, made from its OpenAPI schema: plain HTML, nothing from elsewhere."""

import jinja2
import markupsafe

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
