# The command `lakehouse`. The build context is this folder.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm
ARG RUST_IMAGE=docker.io/library/rust:1-slim-bookworm

FROM ${RUST_IMAGE} AS native
COPY native /native
RUN cargo build --manifest-path /native/Cargo.toml --locked --release

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
RUN python3 -m venv /opt/lakehouse
COPY requirements.lock ./
RUN /opt/lakehouse/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY lakehouse lakehouse
COPY --from=native /native/target/release/liblakehouse_native.so lakehouse/
# The compiled parser must load on this base, or every load would take longer in silence. Elsewhere than here, so that the
# package is the one that was installed. pip and setuptools have no work left in the image.
RUN /opt/lakehouse/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && cd / && /opt/lakehouse/bin/python -c \
        "from lakehouse.compiled import library; assert library(), 'the compiled parser does not load'" \
    && /opt/lakehouse/bin/pip uninstall --yes setuptools pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="lakehouse" \
      org.opencontainers.image.description="Loads raw logs exactly once into daily Iceberg partitions and answers SQL over them" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
COPY --from=build /opt/lakehouse /opt/lakehouse
# Everything was compiled when it was installed, and the root filesystem may be read-only: only /tmp is written.
ENV PATH=/opt/lakehouse/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["lakehouse"]
CMD ["--help"]
