"""gRPC: tritonclient and gRPC's own client on both ports, and hostile HTTP/2 frames by hand."""
import queue
import socket
import struct


import grpc
import numpy
import pytest
import tritonclient.grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from test_serve import answers, booster, rows, same, serve

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PATH = "/inference.GRPCInferenceService/"


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc")
    booster().save_model(folder / "churn.ubj")
    booster(None, seed=2, objective="multi:softprob", num_class=3).save_model(folder / "plain.json")
    with serve(folder, "churn.ubj", "plain.json") as server:
        yield server


@pytest.fixture(params=["grpc", "http"])
def channel(request, server):
    """Each port speaks gRPC: its own, and that of HTTP/1.1."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port if request.param == 'grpc' else server.port}") as channel:
        yield channel


def infer_request(data, model="churn", **more):
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=data.shape)
    tensor.contents.fp32_contents.extend(data.ravel().tolist())
    return service_pb2.ModelInferRequest(model_name=model, inputs=[tensor], **more)


def test_tritonclient(server):
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("churn")
    assert [tensor.name for tensor in client.get_model_metadata("churn").inputs] == ["distance", "speed", "hour"]
    assert list(client.get_model_metadata("plain").inputs[0].shape) == [-1, 3]
    data = rows(2000)
    given = tritonclient.grpc.InferInput("x", data.shape, "FP32")
    given.set_data_from_numpy(data)
    for compression in (None, "gzip"):
        done = client.infer("churn", [given], request_id="r1", compression_algorithm=compression)
        same(done.as_numpy("probability"), answers(booster(), data))
        assert done.get_response().id == "r1" and done.get_response().parameters["prediction_id"].string_param
    with pytest.raises(tritonclient.grpc.InferenceServerException, match="UNIMPLEMENTED"):
        client.infer("churn", [given], compression_algorithm="deflate")
    several = queue.Queue()
    client.start_stream(callback=lambda result, error: several.put((result, error)))
    for name in ("churn", "absent", "churn"):
        client.async_stream_infer(name, [given])
    got = [several.get(timeout=30) for _ in range(3)]
    client.stop_stream()
    assert [error is None for _, error in got] == [True, False, True] and "no endpoint" in str(got[1][1])
    same(got[2][0].as_numpy("probability"), answers(booster(), data))
    assert client.get_inference_statistics("churn").model_stats[0].inference_stats.success.count >= 4
    assert [model.name for model in client.get_model_repository_index().models] == ["churn", "plain"]
    with pytest.raises(tritonclient.grpc.InferenceServerException, match="PERMISSION_DENIED"):
        client.unload_model("churn")
    client.close()


def test_typed_contents_and_columns(channel):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    data = numpy.nan_to_num(rows(7))
    done = stub.ModelInfer(infer_request(data))
    assert not done.raw_output_contents
    same(list(done.outputs[0].contents.fp32_contents), answers(booster(), data))
    request = service_pb2.ModelInferRequest(model_name="churn", model_version="1", id="k")
    for i, (name, datatype, field) in enumerate([("speed", "INT8", "int_contents"), ("hour", "UINT64", "uint64_contents"), ("distance", "FP64", "fp64_contents")]):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[2])
        getattr(tensor.contents, field).extend([i + 1, 3])
    done = stub.ModelInfer(request)
    same(list(done.outputs[0].contents.fp32_contents), answers(booster(), numpy.array([[3, 1, 2], [3, 3, 3]])))
    assert done.id == "k"
    probabilities = stub.ModelInfer(infer_request(data, "plain")).outputs[0]
    assert list(probabilities.shape) == [7, 3] and len(probabilities.contents.fp32_contents) == 21
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP16", shape=[1, 3])
    half = numpy.array([[0.5, -2, numpy.nan]], "float16")
    done = stub.ModelInfer(service_pb2.ModelInferRequest(model_name="churn", inputs=[tensor], raw_input_contents=[half.tobytes()]))
    same(numpy.frombuffer(done.raw_output_contents[0], "float32"), answers(booster(), half.astype("float32")))


@pytest.mark.parametrize("change, code, says", [
    (lambda r: setattr(r, "model_name", "../etc"), "NOT_FOUND", "no endpoint"),
    (lambda r: setattr(r, "model_version", "9"), "NOT_FOUND", "version '9'"),
    (lambda r: setattr(r, "id", "x" * 300), "INVALID_ARGUMENT", "'id'"),
    (lambda r: r.inputs[0].shape.append(3), "INVALID_ARGUMENT", "shape"),
    (lambda r: r.inputs[0].shape.__setitem__(0, -1), "INVALID_ARGUMENT", "impossible"),
    (lambda r: r.inputs[0].shape.__setitem__(0, 1 << 62), "RESOURCE_EXHAUSTED", "rows"),
    (lambda r: r.inputs[0].shape.__setitem__(0, 3), "INVALID_ARGUMENT", "6 values"),
    (lambda r: setattr(r.inputs[0], "datatype", "FP128"), "INVALID_ARGUMENT", "datatype"),
    (lambda r: setattr(r.inputs[0], "datatype", "INT32"), "INVALID_ARGUMENT", "not of its datatype"),
    (lambda r: r.raw_input_contents.append(b"1234"), "INVALID_ARGUMENT", "contents beside"),
    (lambda r: r.raw_input_contents.extend([b"", b""]), "INVALID_ARGUMENT", "2 entries for 1"),
    (lambda r: r.ClearField("inputs"), "INVALID_ARGUMENT", "no input"),
    (lambda r: r.outputs.add(name="other"), "INVALID_ARGUMENT", "no such output"),
    (lambda r: r.inputs.add(name="speed", datatype="FP32", shape=[1]), "INVALID_ARGUMENT", "rows"),
])
def test_faults(channel, change, code, says):
    request = infer_request(numpy.zeros((2, 3), "float32"))
    change(request)
    with pytest.raises(grpc.RpcError) as told:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert told.value.code().name == code and says in told.value.details()


def raw_call(channel, method, body, **options):
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)(body, timeout=30, **options)


def test_health_and_unknown_methods(channel):
    assert raw_call(channel, "/grpc.health.v1.Health/Check", b"") == b"\x08\x01"
    assert raw_call(channel, "/grpc.health.v1.Health/Check", b"\x0a\x05churn") == b"\x08\x01"
    for method, body, code in (("/grpc.health.v1.Health/Check", b"\x0a\x04nope", "NOT_FOUND"), ("/a/B", b"", "UNIMPLEMENTED"), ("/", b"", "UNIMPLEMENTED"),
                               (PATH + "ModelInfer", b"\xff\xff\xff", "INVALID_ARGUMENT"), (PATH + "ModelReady", b"\x0a\x7fabc", "INVALID_ARGUMENT"),
                               (PATH + "ModelInfer", b"\x0a\x02\xff\xfe", "INVALID_ARGUMENT"), (PATH + "ModelInfer", b"\x0b\x0c", "INVALID_ARGUMENT")):
        with pytest.raises(grpc.RpcError) as told:
            raw_call(channel, method, body)
        assert told.value.code().name == code, (method, body)


def test_a_message_that_is_too_large(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.max_send_message_length", -1)]) as channel, pytest.raises(grpc.RpcError) as told:
        raw_call(channel, PATH + "ModelInfer", bytes((64 << 20) + 1))
    assert told.value.code().name == "RESOURCE_EXHAUSTED"


def test_an_unzipped_message_has_the_same_limit(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.max_send_message_length", -1)]) as channel, pytest.raises(grpc.RpcError) as told:
        raw_call(channel, PATH + "ModelInfer", bytes(200 << 20), compression=grpc.Compression.Gzip)
    assert told.value.code().name == "RESOURCE_EXHAUSTED"


# ---- frames by hand ----

def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(name, value):
    """HPACK: literal without indexing, new name."""
    def text(data):
        return bytes([len(data)]) if len(data) < 127 else b"\x7f" + varint(len(data) - 127)
    return b"\x00" + text(name) + name + text(value) + value


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def head(path=b"/inference.GRPCInferenceService/ServerLive", *more):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"), (b"content-type", b"application/grpc"), *more]
    return b"".join(literal(*field) for field in fields)


class Raw:
    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.grpc_port), timeout=30)
        self.data = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))

    def send(self, data):
        """False: the server has closed the connection."""
        try:
            self.socket.sendall(data)
            return True
        except (ConnectionError, BrokenPipeError):
            return False

    def frames(self):
        """Until the server closes."""
        while True:
            while len(self.data) >= 9 and len(self.data) >= 9 + int.from_bytes(self.data[:3], "big"):
                length = int.from_bytes(self.data[:3], "big")
                kind, flags, stream, body = self.data[3], self.data[4], int.from_bytes(self.data[5:9], "big"), self.data[9:9 + length]
                self.data = self.data[9 + length:]
                yield kind, flags, stream, body
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                return
            if not more:
                return
            self.data += more

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def still_serves(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        assert raw_call(channel, PATH + "ServerLive", b"") == b"\x08\x01"


def ends_calmly(server, attack):
    """What `attack` sends again and again makes the server end the connection with GOAWAY; others are served, memory stays."""
    before = server.memory_kb()
    with Raw(server) as raw:
        for i in range(20000):
            if not raw.send(attack(i)):
                break
        goaways = [body for kind, _, _, body in raw.frames() if kind == GOAWAY]
    assert goaways or i < 19999
    still_serves(server)
    assert server.memory_kb() < before + 20_000


def test_rapid_reset(server):
    ends_calmly(server, lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, head()) + frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8)))


def test_ping_flood(server):
    ends_calmly(server, lambda i: frame(PING, 0, 0, bytes(8)))


def test_settings_flood(server):
    ends_calmly(server, lambda i: frame(SETTINGS, 0, 0))


def test_empty_data_flood(server):
    ends_calmly(server, lambda i: frame(DATA, 0, 1) if i else frame(HEADERS, END_HEADERS, 1, head()))


def test_priority_flood(server):
    ends_calmly(server, lambda i: frame(PRIORITY, 0, 2 * i + 1, struct.pack(">IB", 0, 16)))


def test_continuation_flood(server):
    ends_calmly(server, lambda i: frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 100)) if i else frame(HEADERS, 0, 1, head()))


def test_hpack_bomb(server):
    """One field of 4,000 bytes in the table, named four thousand times in each head: 16 MB out of 4 KB."""
    first = b"\x40\x01a\x7f" + varint(4000 - 127) + b"b" * 4000
    def attack(i):
        block = head() + (first if i == 0 else b"") + b"\xbe" * 4000
        return frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block)
    ends_calmly(server, attack)


@pytest.mark.parametrize("bytes_", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", bytes(200), PREFACE[:10] + b"x" * 20, PREFACE + frame(DATA, 0, 1, b"abc"),
                                    PREFACE + frame(SETTINGS, 0, 0, b"abc"), PREFACE + b"\xff\xff\xff" + bytes(6), PREFACE + frame(HEADERS, END_HEADERS, 2, head()),
                                    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, b"\xff" * 50)])
def test_what_is_no_http2_is_closed(server, bytes_):
    with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=30) as raw:
        raw.sendall(bytes_)
        while True:
            try:
                if not raw.recv(65536):
                    break
            except ConnectionError:
                break
    still_serves(server)


def answer_of(raw, stream):
    fields, body = b"", b""
    for kind, flags, number, piece in raw.frames():
        if number == stream and kind == HEADERS:
            fields += piece
        if number == stream and kind == DATA:
            body += piece
        if number == stream and (kind == RST_STREAM or flags & END_STREAM and kind in (HEADERS, DATA)):
            return fields, body
    return fields, body


def test_window_zero_holds_one_answer_only(server):
    """A client that takes nothing: its streams wait, others are served, and the memory is what the answers are."""
    before = server.memory_kb()
    request = infer_request(numpy.zeros((20000, 3), "float32")).SerializeToString()
    message = b"\0" + struct.pack(">I", len(request)) + request
    with Raw(server) as raw:
        raw.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
        for i in range(20):
            stream = 2 * i + 1
            raw.send(frame(HEADERS, END_HEADERS, stream, head(PATH.encode() + b"ModelInfer")))
            for at in range(0, len(message), 16384):
                raw.send(frame(DATA, END_STREAM if at + 16384 >= len(message) else 0, stream, message[at:at + 16384]))
        still_serves(server)
        assert server.memory_kb() < before + 30_000
        raw.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 20)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24)))
        fields, body = answer_of(raw, 39)
        assert len(body) > 80000


def test_deadline_and_cancellation(server):
    """A request that does not come in time ends with DEADLINE_EXCEEDED (4); one that is cancelled is forgotten."""
    with Raw(server) as raw:
        raw.send(frame(HEADERS, END_HEADERS, 1, head(PATH.encode() + b"ModelInfer", (b"grpc-timeout", b"50m"))) + frame(DATA, 0, 1, b"\0\0\0\1"))
        fields, _ = answer_of(raw, 1)
        assert b"\x014" in fields  # grpc-status; the text is Huffman-coded
        raw.send(frame(HEADERS, END_HEADERS, 3, head(PATH.encode() + b"ModelInfer")) + frame(DATA, 0, 3, b"\0\0\0\1\0") + frame(RST_STREAM, 0, 3, struct.pack(">I", 8)))
        raw.send(frame(HEADERS, END_HEADERS, 5, head()) + frame(DATA, END_STREAM, 5, bytes(5)))
        assert answer_of(raw, 5)[1] == b"\0\0\0\0\x02\x08\x01"


def test_messages_in_every_cut(server):
    """The prefix and the message may be cut anywhere, and two messages of a stream may share a frame."""
    message = b"\0\0\0\0\x07\x0a\x05churn"
    with Raw(server) as raw:
        for stream, cut in zip(range(1, 2 * len(message), 2), range(1, len(message))):
            raw.send(frame(HEADERS, END_HEADERS, stream, head(PATH.encode() + b"ModelReady")))
            raw.send(frame(DATA, 0, stream, message[:cut]))
            raw.send(frame(DATA, END_STREAM, stream, message[cut:]))
            assert answer_of(raw, stream)[1] == b"\0\0\0\0\x02\x08\x01"
        request = infer_request(numpy.zeros((1, 3), "float32")).SerializeToString()
        twice = (b"\0" + struct.pack(">I", len(request)) + request) * 2
        raw.send(frame(HEADERS, END_HEADERS, 101, head(PATH.encode() + b"ModelStreamInfer")) + frame(DATA, END_STREAM, 101, twice))
        body = answer_of(raw, 101)[1]
        first = int.from_bytes(body[1:5], "big")
        assert len(body) == 2 * (5 + first)


def test_a_thousand_idle_connections(server):
    before = server.memory_kb()
    held = [Raw(server) for _ in range(500)]
    still_serves(server)
    assert server.memory_kb() < before + 500 * 40
    for raw in held:
        raw.socket.close()
