"""Loads a page in headless Chromium and waits until an expression is true in it; prints what a second one is, as JSON.

    browser.py URL --until EXPRESSION --tell EXPRESSION [--dark] [--width N] [--no-script] [--screenshot FILE]

Ends with 1 and what went wrong, messages of the page's console included.
"""
import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile

import websockets


class Page:
    """One tab, spoken to over the DevTools protocol."""

    def __init__(self, socket):
        self.socket = socket
        self.next = 0
        self.console = []

    async def call(self, method, **parameters):
        self.next += 1
        await self.socket.send(json.dumps({"id": self.next, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self.socket.recv())
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.console.append(json.dumps(message["params"])[:500])
            if message.get("id") == self.next:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]

    async def value(self, expression):
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")


async def look(arguments, address):
    async with websockets.connect(address, max_size=None) as socket:
        page = Page(socket)
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        scheme = "dark" if arguments.dark else "light"
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await page.call("Emulation.setScriptExecutionDisabled", value=arguments.no_script)
        metrics = {"width": arguments.width, "height": 1000, "deviceScaleFactor": 1, "mobile": arguments.width < 600}
        await page.call("Emulation.setDeviceMetricsOverride", **metrics)
        await page.call("Page.navigate", url=arguments.url)
        for _ in range(600):
            if await page.value(arguments.until):
                break
            await asyncio.sleep(0.05)
        else:
            told = await page.value(arguments.tell)
            raise SystemExit(f"never true: {arguments.until}; {told}; console: {page.console}")
        if arguments.screenshot:
            image = await page.call("Page.captureScreenshot", captureBeyondViewport=True)
            with open(arguments.screenshot, "wb") as file:
                import base64

                file.write(base64.b64decode(image["data"]))
        told = await page.value(arguments.tell)
        print(json.dumps({"value": told, "console": page.console}))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--until", default="document.readyState === 'complete'")
    parser.add_argument("--tell", default="document.title")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--no-script", action="store_true")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--screenshot")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp()
    process = await asyncio.create_subprocess_exec(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}",
        "--remote-debugging-port=0", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = None
        for _ in range(600):
            try:
                with open(os.path.join(folder, "DevToolsActivePort")) as file:
                    port = int(file.readline())
                break
            except (FileNotFoundError, ValueError):
                await asyncio.sleep(0.05)
        if port is None:
            raise SystemExit("Chromium does not start")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"PUT /json/new?about:blank HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while b"webSocketDebuggerUrl" not in answer or not answer.rstrip().endswith(b"}"):
            piece = await reader.read(65536)
            if not piece:
                break
            answer += piece
        writer.close()
        address = json.loads(answer[answer.index(b"{"):])["webSocketDebuggerUrl"]
        await asyncio.wait_for(look(arguments, address), 60)
    finally:
        process.terminate()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(asyncio.run(main()))
