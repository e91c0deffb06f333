# The image of `prouter serve`, built in a checkout: docker build -f launch/backends/serve.Dockerfile -t prouter .
# python:3.11-slim-bookworm; another digest is another image
FROM python:3.11-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba
WORKDIR /prouter_jax
COPY requirements requirements
RUN pip install --no-cache-dir --require-hashes -r requirements/serve.txt
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation . && python requirements/check.py requirements/serve.txt
RUN useradd --create-home server
USER server
ENV PYTHONUNBUFFERED=1 JAX_PLATFORMS=cpu
EXPOSE 8080
# a router takes some seconds to load
HEALTHCHECK --start-period=60s --interval=10s --timeout=2s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=1)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["prouter", "serve", "--host=0.0.0.0"]
CMD ["--workdir=/run/router"]
