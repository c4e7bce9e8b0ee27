"""`limner serve`: the studio, in the browser and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner.errors import BadInput

__all__ = ["register"]

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Where jobs and pictures are kept; $LIMNER_DATA or ~/.local/share/limner when not "
        "given.",
    ),
]
Host = Annotated[
    str, typer.Option("--host", help="The address to listen at; others than loopback need a token.")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 is any that is free.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="LIMNER_TOKEN",
        help="What clients must say (Authorization: Bearer TOKEN, or once /?token=TOKEN).",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="A further name that browsers may call it by, such as a proxy's."),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="A further model that clients may paint with: folder or hub id."),
]
Most = Annotated[int, typer.Option("--most", min=1, max=100_000, help="Jobs that may wait.")]
Page = Annotated[bool, typer.Option("--page/--no-page", help="The page, beside the API.")]
Open = Annotated[bool, typer.Option("--open", help="Show it in the browser.")]


def register(app: typer.Typer) -> None:
    app.command("serve", epilog="Example: limner serve --open")(_serve)


def _serve(
    data: Data = None,
    host: Host = "127.0.0.1",
    port: Port = 7860,
    token: Token = None,
    name: Names = None,
    model: Models = None,
    most: Most = 256,
    page: Page = True,
    open: Open = False,
) -> None:
    """Opens a studio on this machine: a page in the browser, and an API that OpenAI's client knows.

    Jobs survive whatever happens to it; Ctrl-C lets the running one end. Pictures are kept in one
    folder.
    """
    _check_installed()
    from limner.studio.server import Asked, serve
    from limner.studio.store import data_folder

    def listening(address: str) -> None:
        typer.echo(f"limner serves at {address} (Ctrl-C stops it)", err=True)
        if open:
            typer.launch(f"{address}?token={token}" if token else address)

    asked = Asked(host, port, token, tuple(name or ()), tuple(model or ()), page, most)
    serve(data or data_folder(), asked, listening=listening)


def _check_installed() -> None:
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise BadInput(
            f"limner serve needs {error.name}: pip install 'limner[serve]' brings what it needs"
        ) from None
