"""A file is replaced in one step."""

from softmax_impls.user_cache import replacing


def test_threads_that_replace_a_file_at_the_same_time_do_not_mix_their_contents(tmp_path):
    file = tmp_path / "folder" / "file"
    with replacing(file) as first:
        first.write(b"a")
        with replacing(file) as second:
            second.write(b"b")
        assert file.read_bytes() == b"b"
        first.write(b"a")
    assert file.read_bytes() == b"aa"
    assert list(file.parent.iterdir()) == [file]
