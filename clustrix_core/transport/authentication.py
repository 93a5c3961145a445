"""Who the user is, proven to a host: keys of the agent and of files, a password, answers to the host's questions."""

from __future__ import annotations

import getpass
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from clustrix_core.errors import AuthenticationError, TransportError
from clustrix_core.transport.identity import agent_at, public_half
from clustrix_core.transport.ssh_config import Route
from clustrix_core.transport.terminal import asking

if TYPE_CHECKING:
    import paramiko

Prompt = Callable[[str, bool], str]
PATIENCE = 300.0  # seconds for somebody who must find a telephone first
log = logging.getLogger("clustrix.ssh")


class Unanswered(Exception):
    """A question came up and there is nobody to answer it."""


def ask_terminal(question: str, echo: bool) -> str:
    """Return the user's answer; raise Unanswered when stdin is no terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise Unanswered(question.strip())
    with asking():
        if not echo:
            return getpass.getpass(question)
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().rstrip("\r\n")


class Authenticator:
    """Logs in to one host, again and again: unlocked keys and given passwords are kept in memory for a reconnect."""

    def __init__(self, route: Route, prompt: Prompt | None = None) -> None:
        self.route = route
        self.prompt: Prompt = prompt or ask_terminal
        self.password = route.login.password
        self._unlocked: dict[str, paramiko.PKey] = {}
        self._tried: list[str] = []
        self._open_question: str | None = None
        self._agent: paramiko.agent.AgentSSH | None = None

    def log_in(self, transport: paramiko.Transport) -> None:
        """Return when the host has accepted the user; raise AuthenticationError with what was tried otherwise."""
        self._tried, self._open_question = [], None
        try:
            left = self._with_keys(transport)
        finally:
            self._close_agent()
        for _ in range(4):  # a site may want a key, a password and a code
            if not left:
                return
            step = self._next_step(left)
            if not step:
                break
            left = step(transport)
        self._refuse(left)

    def _with_keys(self, transport: paramiko.Transport) -> list[str]:
        """Offer the keys; return the methods that are still wanted, none when the host is content."""
        import paramiko

        allowed = ["publickey"]
        for name, key in self._keys():
            try:
                self._tried.append(name)
                return transport.auth_publickey(self.route.user, key)
            except paramiko.BadAuthenticationType as error:
                return error.allowed_types
            except paramiko.AuthenticationException as error:
                self._stop_if_cut_off(transport, error)
        try:
            transport.auth_none(self.route.user)
            return []
        except paramiko.BadAuthenticationType as error:
            allowed = error.allowed_types
        except paramiko.AuthenticationException as error:
            self._stop_if_cut_off(transport, error)
        return allowed

    def _next_step(self, left: Sequence[str]) -> Callable[[paramiko.Transport], list[str]] | None:
        if "password" in left and self.password is not None and "password" not in self._tried:
            return self._with_password
        if "keyboard-interactive" in left and "answers to its questions" not in self._tried:
            return self._with_answers
        if "password" in left and "password" not in self._tried:
            return self._with_password
        return None

    def _with_password(self, transport: paramiko.Transport) -> list[str]:
        import paramiko

        self._tried.append("password")
        for _ in range(1 if self.password is not None else 3):
            try:
                given = self.password if self.password is not None else self._ask(f"Password for {self.route.where}: ")
                left = transport.auth_password(self.route.user, given, fallback=False)
                self.password = given
                return left
            except Unanswered:
                break
            except paramiko.BadAuthenticationType as error:
                return error.allowed_types
            except paramiko.AuthenticationException as error:
                self._stop_if_cut_off(transport, error)
        return ["password"]

    def _with_answers(self, transport: paramiko.Transport) -> list[str]:
        import paramiko

        self._tried.append("answers to its questions")
        patience, transport.auth_timeout = transport.auth_timeout, PATIENCE
        try:
            return transport.auth_interactive(self.route.user, self._answers)
        except Unanswered:
            self._refuse(["keyboard-interactive"])
        except paramiko.BadAuthenticationType as error:
            return error.allowed_types
        except paramiko.AuthenticationException as error:
            self._stop_if_cut_off(transport, error)
            return ["password"]
        finally:
            transport.auth_timeout = patience

    def _answers(self, title: str, instructions: str, questions: Sequence[tuple[str, bool]]) -> list[str]:
        """Answer what the host asks; a single hidden question is the password, if one is known and was not refused."""
        hidden = [echo for _, echo in questions] == [False]
        if hidden and self.password is not None and "password" not in self._tried:
            self._tried.append("password")
            return [self.password]
        preface = "\n".join(text.strip() for text in (title, instructions) if text.strip())
        return [self._ask(f"{preface}\n{text}" if preface else text, echo) for text, echo in questions]

    def _ask(self, question: str, echo: bool = False) -> str:
        try:
            return self.prompt(question, echo)
        except (Unanswered, EOFError):
            self._open_question = question.strip()
            raise Unanswered(question) from None

    def _stop_if_cut_off(self, transport: paramiko.Transport, error: Exception) -> None:
        if not transport.is_active():
            if len(self._tried) <= 1:  # no host hangs up at the first wrong key
                raise TransportError(
                    f"{self.route.where}: the connection broke during the login ({error})",
                    hint="Run it again; where that does not help, the host bars this user or address.",
                ) from error
            self._refuse([], f"; the host hung up ({error})")

    def _refuse(self, left: Sequence[str], more: str = "") -> NoReturn:
        tried = ", ".join(self._tried) or "nothing (no key in the agent, no key file, no password)"
        wanted = f"; it accepts: {', '.join(left)}" if left else ""
        if self._open_question:
            more += f'; it asks "{self._open_question}", and there is no terminal to answer on'
        raise AuthenticationError(
            f"{self.route.where}: login refused; tried {tried}{wanted}{more}",
            hint="Check user and key_file, load the key (ssh-add), install it (ssh-copy-id), or, where the site asks "
            'questions, use "transport: openssh" and run from a terminal.',
        )

    def _keys(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """Yield the keys to offer: those of the agent that are named by files, its others, then the files."""
        files = [path for path in self.route.keys if os.path.isfile(path) or os.path.isfile(f"{path}.pub")]
        named = {public_half(path): path for path in files}
        held = self._agent_keys()
        of_files = [key for key in held if key.asbytes() in named]
        others = [] if self.route.only_keys else [key for key in held if key.asbytes() not in named]
        for mine in (*of_files, *others):
            yield f"agent's {mine.get_name()} {mine.fingerprint}", mine
        offered = {key.asbytes() for key in of_files}
        for path in files:
            if os.path.isfile(path) and public_half(path) not in offered:
                key = self._load(path)
                if key:
                    yield path, key

    def _agent_keys(self) -> Sequence[paramiko.AgentKey]:
        """Return the agent's keys; none when there is no agent, or it does not answer."""
        import paramiko

        if self.route.agent == "":
            return ()
        try:
            self._agent = agent_at(self.route.agent) if self.route.agent else paramiko.Agent()
            return self._agent.get_keys()
        except (paramiko.SSHException, OSError) as error:
            log.debug("ssh-agent: %s", error)
            return ()

    def _close_agent(self) -> None:
        agent, self._agent = self._agent, None
        if agent:
            cast(Any, agent)._close()

    def _load(self, path: str) -> paramiko.PKey | None:
        """Return the key in a file, unlocked if need be; None when it cannot be used."""
        if path not in self._unlocked:
            key = self._unlock(path)
            if not key:
                return None
            self._unlocked[path] = key
        return self._unlocked[path]

    def _unlock(self, path: str) -> paramiko.PKey | None:
        import paramiko

        secret: bytes | None = None
        for _ in range(4):
            try:
                return paramiko.PKey.from_path(path, cast(Any, secret))  # bytes, whatever its hint says
            except (paramiko.PasswordRequiredException, TypeError):
                pass  # encrypted
            except (ValueError, OSError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
                if secret is None:
                    self._tried.append(f"{path} (unusable: {error})")
                    return None
            try:
                secret = self._ask(f"Passphrase for {path}: ").encode()
            except Unanswered:
                self._tried.append(f"{path} (locked)")
                return None
        return None


__all__ = ["Authenticator", "Prompt", "Unanswered", "ask_terminal"]
