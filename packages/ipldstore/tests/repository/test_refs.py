"""Names: what each verb makes of them, which commit a text means, and what a log and a drawing show."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from ipldstore import ConflictError, IPLDStoreError, RefExistsError, RefNotFoundError, Repository

from ..support.repositories import START, commit, text


@pytest.fixture
def repo() -> Repository:
    """Four commits on main, a day apart, with a message each."""
    made = Repository.create({})
    for number in range(1, 5):
        commit(made, {"a": b"%d" % number}, message=f"step {number}", time=START + timedelta(days=number))
    return made


def test_a_ref_is_a_cid_then_a_branch_then_a_tag_with_steps(repo: Repository) -> None:
    repo.create_tag("v1", "main~2")
    repo.create_branch("exp", "v1")
    tip = repo.lookup("main")
    for ref, message in {
        "main": "step 4",
        "main~": "step 3",
        "main~1": "step 3",
        "main~4": "",
        "main~1~1": "step 2",
        "v1": "step 2",
        "v1~1": "step 1",
        "exp": "step 2",
        str(tip.cid): "step 4",
        f"{tip.cid}~3": "step 1",
        "main@2024-01-03T00:00Z": "step 2",
        "main@2024-01-02T23:59+00:00~1": "",
        "main@2030-01-01T00:00+02:00": "step 4",
        "main@9999-12-31T23:59Z": "step 4",  # later than a commit can be
        str(repo.cid): "step 4",
    }.items():
        assert repo.lookup(ref).message == message, ref
    for same in (tip, tip.cid, bytes(tip.cid)):
        assert repo.lookup(same) == tip


def test_a_time_later_than_commits_can_have_means_the_latest(repo: Repository) -> None:
    for time in (datetime.max.replace(tzinfo=UTC), "2300-01-01T00:00Z"):
        assert repo.readonly_session(as_of=time).base == repo.lookup()
    with pytest.raises(ValueError, match="time zone"):
        repo.readonly_session(as_of=START.replace(tzinfo=None))


@pytest.mark.parametrize("ref", ["nothing", "main~5", "nothing~1"])
def test_a_ref_that_means_nothing(repo: Repository, ref: str) -> None:
    with pytest.raises(RefNotFoundError, match="expected"):
        repo.lookup(ref)


@pytest.mark.parametrize("ref", ["", "~1", "main~x", "main@", "main@yesterday", "main@2024-01-01"])
def test_a_text_that_is_no_ref(repo: Repository, ref: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        repo.lookup(ref)


def test_a_root_is_no_commit(repo: Repository) -> None:
    with pytest.raises(IPLDStoreError, match="commit"):
        repo.lookup(repo.lookup().data)


def test_branches_and_tags_are_made_moved_renamed_and_deleted(repo: Repository) -> None:
    first = repo.branches["main"]
    repo.create_branch("exp", "main~1")
    repo.create_tag("v1")
    assert list(repo.branches) == ["exp", "main"]
    assert repo.tags["v1"] == first
    repo.reset_branch("exp", "main~2", expected="main~1")
    assert repo.lookup("exp").message == "step 2"
    with pytest.raises(ConflictError, match="expected it at"):
        repo.reset_branch("exp", "main", expected="main~1")
    repo.rename_branch("exp", "experiment")
    assert list(repo.branches) == ["experiment", "main"]
    repo.set_default("experiment")
    repo.rename_branch("experiment", "trunk")
    assert repo.default_branch == "trunk"
    repo.delete_tag("v1")
    repo.create_tag("v1", "main~3")
    with pytest.raises(IPLDStoreError, match="set_default"):
        repo.delete_branch("trunk")
    repo.delete_branch("main")
    assert dict(repo.branches).keys() == {"trunk"}
    for action in (
        lambda: repo.create_tag("trunk"),
        lambda: repo.create_branch("v1"),
        lambda: repo.rename_branch("trunk", "v1"),
    ):
        with pytest.raises(RefExistsError, match="found the"):
            action()
    for action in (
        lambda: repo.delete_branch("main"),
        lambda: repo.reset_branch("main", "trunk"),
        lambda: repo.rename_branch("main", "x"),
        lambda: repo.delete_tag("v2"),
        lambda: repo.set_default("main"),
    ):
        with pytest.raises(RefNotFoundError, match="found none named"):
            action()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\ud800",
        "x" * 256,
        "a/b",
        "a~b",
        "a@b",
        "a\nb",
        "..",
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
    ],
)
def test_names_that_the_format_refuses(repo: Repository, name: str) -> None:
    with pytest.raises(ValueError, match="expected the name"):
        repo.create_branch(name)


def test_names_are_written_in_nfc_and_found_however_they_are_spelt(repo: Repository) -> None:
    repo.create_tag("u\u0308ni")
    assert list(repo.tags) == ["üni"]
    for spelling in ("u\u0308ni", "üni"):
        assert repo.lookup(spelling).message == "step 4"
        assert repo.readonly_session(tag=spelling).store["a"] == b"4"
    spelt = "a\u0308"
    repo.create_branch(spelt)
    assert repo.writable_session(spelt).branch == "ä"
    repo.reset_branch(spelt, "main~1", expected=spelt)
    repo.set_default(spelt)
    repo.rename_branch(spelt, "o\u0308")
    assert (repo.default_branch, list(repo.branches)) == ("ö", ["main", "ö"])
    repo.set_default("main")
    repo.delete_branch("o\u0308")
    repo.delete_tag("u\u0308ni")
    assert (list(repo.branches), list(repo.tags)) == (["main"], [])


def test_a_tag_where_a_branch_is_asked_for_is_said_to_be_one(repo: Repository) -> None:
    repo.create_tag("v1")
    with pytest.raises(RefNotFoundError, match=r"expected a branch, found none named 'v1' \('v1' is a tag\)"):
        repo.writable_session("v1")
    with pytest.raises(RefNotFoundError, match=r"'main' is a branch"):
        repo.readonly_session(tag="main")


def test_a_name_is_not_given_to_a_commit_of_another_repository(repo: Repository) -> None:
    """It would lead nowhere, and the repository could neither be copied nor collected."""
    other = Repository.create({})
    stranger = other.lookup(commit(other, {"b": b"1"}))
    before = repo.cid
    for ref in (stranger, stranger.cid, str(stranger.cid)):
        for action in (repo.create_branch, repo.create_tag, repo.reset_branch):
            with pytest.raises(IPLDStoreError, match=text(stranger.cid)):
                action("main" if action == repo.reset_branch else "new", ref)
    assert repo.cid == before


def test_the_log_streams_the_newest_first(repo: Repository) -> None:
    repo.create_branch("exp", "main~2")
    commit(repo, {"b": b"1"}, "exp", message="beside", time=START + timedelta(days=3, hours=1))
    repo.merge("exp", message="together", time=START + timedelta(days=9))
    assert [each.message for each in repo.log()] == [
        "together", "step 4", "beside", "step 3", "step 2", "step 1", "",
    ]  # fmt: skip
    assert [each.message for each in repo.log("exp")] == ["beside", "step 2", "step 1", ""]


def test_a_drawing_shows_lanes_names_and_titles(repo: Repository) -> None:
    repo.create_branch("exp", "main~2")
    repo.create_branch("more", "main~2")
    commit(repo, {"b": b"1"}, "exp", message="beside\nand below", time=START + timedelta(days=5))
    commit(repo, {"c": b"1"}, "more", message="tab\there", time=START + timedelta(days=6))
    repo.merge("exp", message="together", time=START + timedelta(days=9))
    repo.create_tag("v1\u202e", "main~4")
    drawn = [re.sub(r"\* (( *\|)*) *\w{12}", r"* \1", line) for line in repo.graph().splitlines()]
    assert [line.replace("  ", " ").rstrip() for line in drawn] == [
        "* (main) together",
        "|\\",
        "| | * (more) tab here",
        "| * | (exp) beside",
        "* | | step 4",
        "* | | step 3",
        "|/ /",
        "|/",
        "* step 2",
        "* (tag: v1 ) step 1",
        "*",
    ]
    assert len(repo.graph(limit=2).splitlines()) == 3
    assert text(repo.lookup().cid).endswith(repo.graph().split()[1])
