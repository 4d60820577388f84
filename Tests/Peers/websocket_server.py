"""An HTTPS application that knows WebSocket and little else: echoes, closes on request, logs what it was asked.

/page is for a browser: it sends messages, checks their echoes and shows how that went; /held is answered when its
WebSocket is over, so that the page is not complete before."""
import argparse, asyncio, http, json, ssl, websockets

arguments = argparse.ArgumentParser()
for name in ("cert", "key", "log"):
    arguments.add_argument("--" + name)
arguments = arguments.parse_args()


def log(**fields):
    with open(arguments.log, "a") as file:
        file.write(json.dumps(fields) + "\n")


PAGE = b"""<!doctype html><title>x</title><p id=a>before</p><img src=/held>
<script>
const show = text => document.getElementById("a").textContent = text
const sizes = [0, 1, 125, 126, 1000, 4096, 16384, 100000]
const message = index => String.fromCharCode(97 + index % 26).repeat(sizes[index % sizes.length])
const socket = new WebSocket(`wss://${location.host}/chart?room=1`, "chart")
let echoes = 0
socket.onopen = () => socket.send(message(0))
socket.onmessage = event => {
    if (event.data !== message(echoes)) { show(`message ${echoes} came back changed`); socket.close() }
    else if (++echoes < 500) socket.send(message(echoes))
    else { show(`${echoes} echoes as ${socket.protocol}`); socket.close(1000) }
}
socket.onerror = () => show(`failed after ${echoes}`)
</script>"""
over = asyncio.Event()


async def page(path, headers):
    if path == "/page":
        return http.HTTPStatus.OK, {"Content-Type": "text/html"}, PAGE
    if path == "/held":
        await asyncio.wait_for(over.wait(), 60)
        return http.HTTPStatus.NO_CONTENT, {}, b""


async def serve(connection):
    headers = connection.request_headers
    log(event="open", path=connection.path, via=headers.get("Via"), keys=len(headers.get_all("Sec-WebSocket-Key")))
    try:
        async for message in connection:
            if message == "close":
                await connection.close(4001, "asked to")
            elif message == "die":
                connection.transport.abort()
            else:
                await connection.send(message)
    except websockets.ConnectionClosed:
        pass
    log(event="closed", code=connection.close_code)
    over.set()


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert, arguments.key)
    server = await websockets.serve(
        serve, "127.0.0.1", 0, ssl=context, max_size=None, compression=None, ping_interval=None,
        subprotocols=["chart"], process_request=page,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Future()


asyncio.run(main())
