"""What the scanner finds and what the template keeps are compared both ways."""

from tests.template import allowed
from tests.template.scan import bare, complaints
from tests.template.stack import Stack

KEPT = {(name, number) for name, each in allowed.FINDINGS.items() for number in each}


def test_what_is_found_and_kept_is_no_complaint(staging: Stack) -> None:
    """All of it, and nothing else."""
    assert list(complaints(staging, KEPT)) == []


def test_a_new_finding_is_told(staging: Stack) -> None:
    """Of a resource that has others, and of one that has none."""
    for name in ("ConfigBucket", "ReconcileRole"):
        said = list(complaints(staging, KEPT | {(name, "CKV_AWS_111")}))
        (told,) = said
        assert told.startswith(f"{name}: CKV_AWS_111 is found")


def test_a_skip_of_what_is_not_found_is_told(staging: Stack) -> None:
    """The reason beside it would be read as if it were true."""
    said = list(complaints(staging, KEPT - {("EventQueue", "CKV_AWS_27")}))
    assert said == ["EventQueue: CKV_AWS_27 is skipped, but is not found any more"]


def test_nothing_silences_the_scanner(staging: Stack) -> None:
    """It judges every resource, and believes no skip."""
    assert bare(staging).keys() == staging.resources.keys()
    assert "skip" not in str(bare(staging))
