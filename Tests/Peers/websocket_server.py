"""An HTTPS application that knows WebSocket and nothing else: echoes, closes on request, logs what it was asked."""
import argparse, asyncio, json, ssl, websockets

arguments = argparse.ArgumentParser()
for name in ("cert", "key", "log"):
    arguments.add_argument("--" + name)
arguments = arguments.parse_args()


def log(**fields):
    with open(arguments.log, "a") as file:
        file.write(json.dumps(fields) + "\n")


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


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert, arguments.key)
    server = await websockets.serve(
        serve, "127.0.0.1", 0, ssl=context, max_size=None, compression=None, ping_interval=None,
        subprotocols=["chart"],
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Future()


asyncio.run(main())
