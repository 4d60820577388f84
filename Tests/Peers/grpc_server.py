"""A gRPC application over TLS: one method of each kind, and methods that fail, wait, and tell of cancellation."""
import argparse, json, threading, time
from concurrent import futures
import grpc

arguments = argparse.ArgumentParser()
for name in ("cert", "key", "log"):
    arguments.add_argument("--" + name)
arguments = arguments.parse_args()
lock = threading.Lock()


def log(**fields):
    with lock, open(arguments.log, "a") as file:
        file.write(json.dumps(fields) + "\n")


def unary(request, context):
    context.set_trailing_metadata((("sum", str(len(request))),))
    return request[::-1]


def collect(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode() * 1000


def chat(requests, context):
    for request in requests:
        yield request.upper()


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no such chart")


def wait(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    log(event="waiting", remaining=context.time_remaining() is not None)
    ended.wait(30)
    log(event="ended", active=context.is_active())
    return b""


class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        return {
            "/clinic/unary": grpc.unary_unary_rpc_method_handler(unary),
            "/clinic/collect": grpc.stream_unary_rpc_method_handler(collect),
            "/clinic/count": grpc.unary_stream_rpc_method_handler(count),
            "/clinic/chat": grpc.stream_stream_rpc_method_handler(chat),
            "/clinic/fail": grpc.unary_unary_rpc_method_handler(fail),
            "/clinic/wait": grpc.unary_unary_rpc_method_handler(wait),
        }.get(call.method)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((Handlers(),))
with open(arguments.key, "rb") as key, open(arguments.cert, "rb") as cert:
    credentials = grpc.ssl_server_credentials([(key.read(), cert.read())])
port = server.add_secure_port("127.0.0.1:0", credentials)
server.start()
print(port, flush=True)
server.wait_for_termination()
