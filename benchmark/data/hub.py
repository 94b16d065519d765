"""What a dataset's repository on Hugging Face's hub holds at one revision, with the hashes that the hub keeps."""

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.hf_api import RepoFile

from benchmark.data.dataset import DataError
from benchmark.data.download import Wanted
from benchmark.errors import one_line

ENDPOINT = constants.ENDPOINT


def listed(repository: str, revision: str, folder: str, suffix: str) -> dict[str, Wanted]:
    """The files in a folder of a repository, `owner/name`, whose names have a suffix, for `download`, in order.

    By path: the file's address, its size and, where the hub keeps it, its SHA-256. The revision is a commit in full,
    for the hub knows no abbreviations. A DataError says that the hub does not answer, or has no such revision or file.
    """
    api = HfApi(ENDPOINT, token=False)
    try:
        tree = api.list_repo_tree(repository, folder, revision=revision, repo_type="dataset", recursive=True)
        files = [entry for entry in tree if isinstance(entry, RepoFile) and entry.path.endswith(suffix)]
    except Exception as error:  # The hub's client raises many kinds; all of them mean: no list.
        reason = f"{type(error).__name__}: {one_line(error, 200)}"
        raise DataError(f"{ENDPOINT}: cannot list {repository} ({reason})") from None
    if not files:
        raise DataError(f"{ENDPOINT}: {repository} holds no file {folder}/*{suffix} at revision {revision}")

    def wanted(file: RepoFile) -> Wanted:
        address = hf_hub_url(repository, file.path, repo_type="dataset", revision=revision, endpoint=ENDPOINT)
        return Wanted((address,), file.size, file.lfs.sha256 if file.lfs else None)

    return {file.path: wanted(file) for file in sorted(files, key=lambda file: file.path)}
