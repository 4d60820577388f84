"""Calls every method of grpc_server.py and prints what came of each, a line each."""
import argparse, threading
import grpc

arguments = argparse.ArgumentParser()
arguments.add_argument("--port")
arguments.add_argument("--ca")
arguments = arguments.parse_args()
with open(arguments.ca, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
channel = grpc.secure_channel(f"localhost:{arguments.port}", credentials)


def show(name, call):
    try:
        print(name, call())
    except grpc.RpcError as error:
        print(name, error.code().name, error.details() if error.code().name == "FAILED_PRECONDITION" else "")


def unary():
    answer, call = channel.unary_unary("/clinic/unary").with_call(b"chart" * 20_000, timeout=30)
    return len(answer), answer[:5], dict(call.trailing_metadata())["sum"]


def collect():
    return channel.stream_unary("/clinic/collect")((b"x" * 10_000 for _ in range(100)), timeout=30)


def count():
    answers = list(channel.unary_stream("/clinic/count")(b"500", timeout=30))
    return len(answers), answers[499][:6]


def chat():
    go = threading.Semaphore(1)

    def requests():
        for number in range(50):
            go.acquire()
            yield f"message {number}".encode()

    answers = []
    for answer in channel.stream_stream("/clinic/chat")(requests(), timeout=30):
        answers.append(answer)
        go.release()
    return len(answers), answers[-1]


def cancel():
    call = channel.unary_unary("/clinic/wait").future(b"", timeout=30)
    threading.Timer(0.3, call.cancel).start()
    try:
        call.result()
    except grpc.FutureCancelledError:
        return "cancelled"


show("unary", unary)
show("collect", collect)
show("count", count)
show("chat", chat)
show("fail", lambda: channel.unary_unary("/clinic/fail")(b"", timeout=30))
show("unknown", lambda: channel.unary_unary("/clinic/none")(b"", timeout=30))
show("deadline", lambda: channel.unary_unary("/clinic/wait")(b"", timeout=0.3))
show("cancel", cancel)
