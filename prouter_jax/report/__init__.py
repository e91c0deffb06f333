"""Reports of evaluations: types, sentences and Markdown (text), the page (html, templates/), plots, files (write)."""
