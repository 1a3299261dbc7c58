# A monitor behind HTTP, on the CPU; docs/deploy.md says how it is run.
FROM python:3.11-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
# serve,medical for volumes, serve,hf for models of Hugging Face
ARG EXTRAS=serve
COPY constraints.txt /
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c /constraints.txt \
    "$(echo /wheels/synthcp-*.whl)[$EXTRAS]"
USER 10001:10001
ENV OMP_WAIT_POLICY=PASSIVE MPLCONFIGDIR=/tmp PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=5)"]
ENTRYPOINT ["synthcp", "serve", "--host", "0.0.0.0", "--monitor", "/monitor"]
