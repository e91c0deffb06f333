"""The report: what it holds (types), how it speaks (words), and its forms (write, markdown, page, plots)."""
