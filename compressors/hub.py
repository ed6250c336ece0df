"""The Hugging Face Hub: ``hf://user/repo[@revision][/file]`` stands for a file there, wherever an artifact is named.

`huggingface_hub` keeps what it downloaded; HF_HUB_OFFLINE, HF_HOME, HF_TOKEN and HF_ENDPOINT mean what they mean to it. It is
imported only when a path of the hub is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from compressors.errors import InputError, InvalidConfig, ProxycError

PREFIX = "hf://"
ARTIFACT = "codec.pxa"  # as `proxyc push` names it
_DEFAULTS = (ARTIFACT, "tokenizer.json")  # of a repository without /file: the first that it has
_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
_CLIENTS = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")  # of releases of huggingface_hub


@dataclass(frozen=True)
class Place:
    """A file on the hub, or a repository."""

    repo: str  # user/repo
    revision: str | None = None  # a branch, a tag or a commit; None: main
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{PREFIX}{self.repo}{revision}" + (f"/{self.file}" if self.file else "")

    @classmethod
    def of(cls, url: str) -> Place:
        """What `url` says. Raises `InvalidConfig`. A slash in the name of a revision is written %2F."""
        match = re.fullmatch(rf"{PREFIX}([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?", url)
        if match is None or match[1].startswith(("datasets/", "spaces/")):
            raise InvalidConfig(f"{url} is not a file of a model repository; write {PREFIX}user/repo[@revision][/file]")
        return cls(match[1], match[2] and unquote(match[2]), match[3])


def local(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """`path`, or for one of the hub that of the downloaded file. Raises `InputError` and `InvalidConfig`."""
    return download(Place.of(path)) if isinstance(path, str) and path.startswith(PREFIX) else path


def download(place: Place) -> Path:
    """The downloaded file, taken from the cache where that has it. Raises `InputError` with the reason and what helps."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    missing = unreachable = None
    for name in [place.file] if place.file else _DEFAULTS:
        with clear_errors(place):
            try:
                path = hf_hub_download(
                    place.repo,
                    name,
                    revision=place.revision,
                    library_name="proxyc",
                    # Without a connection the client tries for half a minute: for one file, the other may be in the cache.
                    local_files_only=unreachable is not None,
                )
                return Path(path)
            except LocalEntryNotFoundError as error:
                unreachable = unreachable or error
            except EntryNotFoundError as error:
                missing = error
    with clear_errors(place):
        if unreachable is not None:
            raise unreachable
    if place.file:
        raise InputError(f"{Place(place.repo, place.revision)} has no file {place.file}") from missing
    raise InputError(f"{place} has neither {' nor '.join(_DEFAULTS)}; name the file: {place}/FILE") from missing


@contextmanager
def clear_errors(place: Place) -> Iterator[None]:
    """What goes wrong between us and the hub as one line. Raises `InputError`; `InvalidConfig` for an impossible name."""
    from huggingface_hub import constants, errors

    try:
        yield
    except (ProxycError, FileNotFoundError) as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            raise
        reason = error.__cause__ or error
        if constants.HF_HUB_OFFLINE:
            raise InputError(f"{place} is not in the cache, and HF_HUB_OFFLINE is set; unset it to download") from error
        raise InputError(f"{place} is not in the cache, and the hub cannot be reached ({_line(reason)})") from error
    except errors.EntryNotFoundError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise InputError(f"{place}: HF_HUB_OFFLINE is set; unset it to reach the hub") from error
    except errors.HFValidationError as error:
        raise InvalidConfig(f"{place}: {_line(error)}") from error
    except errors.GatedRepoError as error:
        page = f"{constants.ENDPOINT}/{place.repo}"
        raise InputError(f"{place} is only for those who accept its terms: do so at {page}, and {_LOGIN}") from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{place.repo} has no revision {place.revision}") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(f"the hub has no repository {place.repo}, or it is private: {_LOGIN}") from error
    except errors.LocalTokenNotFoundError as error:
        raise InputError(f"{place} needs a login: {_LOGIN}") from error
    except errors.HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            raise InputError(
                f"{place}: access refused ({_line(error)}): {_LOGIN}, with the right to do this"
            ) from error
        raise InputError(f"{place}: the hub says {_line(error)}") from error
    except Exception as error:  # of whichever library it speaks HTTP with
        if type(error).__module__.partition(".")[0] not in _CLIENTS:
            raise
        raise InputError(f"{place}: the hub cannot be reached ({_line(error)})") from error


def _line(error: BaseException) -> str:
    """The first line of a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


__all__ = ["ARTIFACT", "PREFIX", "Place", "clear_errors", "download", "local"]
