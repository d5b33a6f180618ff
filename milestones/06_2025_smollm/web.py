"""The conversation as a page, for this machine only: `chat.py --web`. It needs starlette and uvicorn."""
import queue
import threading
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PAGE = Path(__file__).with_name("page.html")
HOST, LONGEST = "127.0.0.1", 20_000  # characters of a message


class Room:
    "One conversation, and whether an answer is on its way: it takes one question at a time."
    def __init__(self, conversation, options):
        self.conversation, self.options = conversation, options
        self.busy, self.stop = threading.Lock(), threading.Event()

    def begin(self, text):
        """Let the model answer `text` in a thread; return a queue of pieces, with None at the end.

        Raises: HTTPException 409 while another answer is on its way, 400 where the text does not fit.
        """
        if not self.busy.acquire(blocking=False):
            raise HTTPException(409, "the model still answers; stop it first")
        self.stop.clear()
        try:
            pieces = self.conversation.answer(text, **self.options)
            first = next(pieces, None)
        except BaseException as error:
            self.busy.release()
            if isinstance(error, ValueError):
                raise HTTPException(400, str(error)) from None
            raise
        waiting = queue.SimpleQueue()
        threading.Thread(target=self.work, args=(first, pieces, waiting), daemon=True).start()
        return waiting

    def work(self, first, pieces, waiting):
        try:
            waiting.put(first or "")
            for piece in pieces if first is not None and not self.stop.is_set() else ():
                waiting.put(piece)
                if self.stop.is_set():
                    break
        finally:
            pieces.close()
            self.busy.release()
            waiting.put(None)


async def streamed(room, waiting):
    "Yield what comes through the queue; where nobody reads on, the answer stops."
    try:
        while (piece := await run_in_threadpool(waiting.get)) is not None:
            yield piece
    finally:
        room.stop.set()


async def body_of(request):
    "Return the JSON object of a request. Raises: HTTPException for anything else, such as a form of another page."
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise HTTPException(415, "expected application/json")
    try:
        found = await request.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    return found


def application(conversation, options):
    "Return the Starlette application; options: those of `Conversation.answer`."
    room = Room(conversation, options)

    async def page(request):
        return FileResponse(PAGE, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"})

    async def messages(request):
        return JSONResponse({"messages": conversation.messages, "busy": room.busy.locked()})

    async def say(request):
        text = (await body_of(request)).get("text")
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
            raise HTTPException(400, f"expected a text of 1 to {LONGEST:,} characters")
        waiting = await run_in_threadpool(room.begin, text.strip())
        return StreamingResponse(streamed(room, waiting), media_type="text/plain; charset=utf-8")

    async def stop(request):
        await body_of(request)
        room.stop.set()
        return Response(status_code=204)

    async def forget(request):
        await body_of(request)
        if not room.busy.acquire(blocking=False):
            raise HTTPException(409, "the model still answers; stop it first")
        try:
            conversation.reset()
        finally:
            room.busy.release()
        return Response(status_code=204)

    routes = [Route("/", page), Route("/messages", messages), Route("/say", say, methods=["POST"]),
              Route("/stop", stop, methods=["POST"]), Route("/forget", forget, methods=["POST"])]
    only_here = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=routes, middleware=[only_here])


def serve(conversation, options, port):
    "Serve the page on 127.0.0.1 until Ctrl-C."
    import uvicorn

    print(f"http://{HOST}:{port}  (Ctrl-C ends it)", flush=True)
    uvicorn.run(application(conversation, options), host=HOST, port=port, log_level="warning",
                timeout_graceful_shutdown=1)
