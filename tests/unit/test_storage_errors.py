"""What errors of an object store are taken for."""

import pytest

from lakehouse.storage import explain

UNTRUSTED = "SSL validation failed for https://127.0.0.1:{}/a [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"


@pytest.mark.parametrize("port", [46403, 40300, 9000])
def test_the_number_of_a_port_is_no_answer_of_the_server(port: int) -> None:
    assert explain(OSError(UNTRUSTED.format(port))).startswith("the S3 endpoint's certificate is not trusted: ")


@pytest.mark.parametrize(
    "text",
    [
        "An error occurred (403) when calling the HeadObject operation: Forbidden",
        "An error occurred (AccessDenied) when calling the PutObject operation: Access Denied",
        "When reading information for key 'a' in bucket 'b': AWS Error UNKNOWN (HTTP status 403) during HeadObject operation",
        "When reading information for key 'a' in bucket 'b': AWS Error ACCESS_DENIED during HeadObject operation",
    ],
)
def test_a_server_that_refuses(text: str) -> None:
    assert explain(OSError(text)).startswith("the S3 server refuses: check that s3.access_key_id")
