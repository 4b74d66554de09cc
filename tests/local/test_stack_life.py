"""What becomes of a stack, by the real `sam deploy` and `sam delete`: an attached policy, a deploy that fails."""

import pytest

from tests.local.stack_life import Life


@pytest.mark.fault("F178")
def test_a_policy_that_somebody_attached_keeps_the_stack(life: Life) -> None:
    """IAM deletes none that is attached: the stack stays, its events say why, and it goes when that is mended."""
    assert (life.kept.said != "", life.kept.status) == (True, "DELETE_FAILED")
    assert "Cannot delete a policy attached to entities" in life.kept.reasons
    assert life.kept.attached["by-hand"] == [life.moved.arn]
    assert (life.deleted.said, life.deleted.status) == ("", "")


@pytest.mark.fault("F178")
def test_a_policy_that_the_stack_attached_goes_with_it(life: Life) -> None:
    """To the roles that are named now, and to none that were named before; the roles themselves stay."""
    old, new = life.made.arn, life.updated.arn
    assert life.moved.arn == new
    assert [
        [seen.attached[role] for role in ("first", "second", "third")]
        for seen in (life.made, life.updated, life.moved, life.deleted)
    ] == [
        [[old], [old], []],
        [[], [], []],
        [[], [new], [new]],
        [[], [], []],
    ]


@pytest.mark.fault("F178")
def test_another_description_leaves_proxies_what_they_may(life: Life) -> None:
    """It makes another policy. The update ends well, and who attached the old one by hand keeps it: it is nobody's now.

    Once it is detached and deleted by hand nothing of it is left.
    """
    old, new = life.made.arn, life.updated.arn
    assert (life.updated.said, life.updated.status) == ("", "UPDATE_COMPLETE")
    assert "Cannot delete a policy attached to entities" in life.updated.reasons
    assert life.updated.attached["by-hand"] == [old]
    assert {old, new} <= life.updated.things
    assert life.moved.things == life.updated.things - {old}


@pytest.mark.fault("F179")
def test_a_first_deploy_that_fails_leaves_nothing_behind(life: Life) -> None:
    """Neither bucket nor log, which a delete of a stack that once ran keeps."""
    assert (life.failed.said != "", life.failed.status) == (True, "ROLLBACK_COMPLETE")
    assert "mistyped" in life.failed.reasons
    assert life.failed.things == life.empty.things
    assert life.failed.attached["first"] == []
    assert (life.withdrawn.said, life.withdrawn.status) == ("", "")


@pytest.mark.fault("F179")
def test_a_deleted_stack_leaves_bucket_and_log(life: Life) -> None:
    """And nothing else."""
    made = life.moved.outputs
    left = life.deleted.things - life.empty.things
    assert left == {made["BucketName"], made["LogGroupName"]}
    assert made["DocumentName"] in life.moved.things


@pytest.mark.fault("F179")
def test_an_update_that_fails_changes_nothing(life: Life) -> None:
    """It goes back to what was deployed."""
    assert (life.undone.said != "", life.undone.status) == (
        True,
        "UPDATE_ROLLBACK_COMPLETE",
    )
    assert "mistyped" in life.undone.reasons
    assert life.undone.things == life.made.things
    assert life.undone.outputs == life.made.outputs
    old = [life.made.arn]
    assert life.undone.attached == {**life.made.attached, "by-hand": old}


@pytest.mark.fault("F180")
@pytest.mark.parametrize(
    "named", ["EnvironmentTagKey and TypeTagKey", "BackendTagValue and ProxyTagValue"]
)
def test_tags_that_say_two_things_are_refused(life: Life, named: str) -> None:
    """Before anything is made, the stack itself included; sam says why."""
    assert named in " ".join(life.refused.said.split())
    assert life.refused.status == ""
    assert life.refused.things == life.empty.things
