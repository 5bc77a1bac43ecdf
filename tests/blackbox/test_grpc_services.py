"""What gRPC's tools look for beside the predictions: reflection, read by Google's descriptor pool; health, checked and watched; TLS."""
import queue
import shutil
import threading

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tritonclient.grpc import service_pb2

from conftest import wait_until
from test_serve import booster, serve

VERSIONS = ["v1", "v1alpha"]
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    booster().save_model(folder / "churn.ubj")
    with serve(folder, "churn.ubj") as server:
        yield server


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield channel


def field(number, text):
    return bytes([number << 3 | 2, len(text)]) + text


def reflect(channel, version, *requests):
    """The answers, as bytes: what a client can read before it knows anything."""
    call = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo", request_serializer=None, response_deserializer=None)
    return list(call(iter(requests), timeout=30))


def parts(message):
    """Fields of a message by number; lengths and varints of any size."""
    at, found = 0, {}

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            value, at = message[at:at + value], at + value
        found.setdefault(tag >> 3, []).append(value)
    return found


def load(channel, version):
    pool = descriptor_pool.DescriptorPool()
    listed = parts(parts(reflect(channel, version, field(7, b"*"))[0])[6][0])[1]
    services = sorted(parts(service)[1][0].decode() for service in listed)
    for answer in reflect(channel, version, *(field(4, service.encode()) for service in services)):
        descriptor = descriptor_pb2.FileDescriptorProto.FromString(parts(parts(answer)[4][0])[1][0])
        pool.Add(descriptor)
    return pool, services


@pytest.mark.parametrize("version", VERSIONS)
def test_reflection_tells_what_is_served(channel, version):
    pool, services = load(channel, version)
    assert services == ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "inference.GRPCInferenceService"]
    theirs = service_pb2.DESCRIPTOR
    for method in pool.FindServiceByName("inference.GRPCInferenceService").methods:
        other = theirs.services_by_name["GRPCInferenceService"].methods_by_name[method.name]
        assert (method.client_streaming, method.server_streaming) == (other.client_streaming, other.server_streaming)
        for mine, other in ((method.input_type, other.input_type), (method.output_type, other.output_type)):
            same_message(mine, other)
    # A request that was built from what reflection told is answered.
    make = lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
    request = make("ModelInferRequest")(model_name="churn")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend([1, 2, 3])
    request.parameters["a"].bool_param = True
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", request_serializer=None, response_deserializer=None)
    answer = make("ModelInferResponse").FromString(call(request.SerializeToString(), timeout=30))
    assert answer.model_name == "churn" and len(answer.outputs[0].contents.fp32_contents) == 1


def same_message(mine, theirs, seen=None):
    seen = set() if seen is None else seen
    if mine.full_name in seen:
        return
    seen.add(mine.full_name)
    assert mine.full_name == theirs.full_name and [f.name for f in mine.fields] == [f.name for f in theirs.fields]
    assert [o.name for o in mine.oneofs] == [o.name for o in theirs.oneofs] and mine.GetOptions().map_entry == theirs.GetOptions().map_entry
    for a, b in zip(mine.fields, theirs.fields):
        assert (a.number, a.type, a.is_repeated, a.containing_oneof and a.containing_oneof.name) == (b.number, b.type, b.is_repeated, b.containing_oneof and b.containing_oneof.name), a.full_name
        if a.message_type:
            same_message(a.message_type, b.message_type, seen)


@pytest.mark.parametrize("version", VERSIONS)
def test_reflection_of_files_and_of_what_is_not_there(channel, version):
    answers = reflect(channel, version, field(3, b"inference.proto"), field(4, b"inference.GRPCInferenceService.ModelInfer"), field(4, b"inference.ModelInferRequest.InferInputTensor"),
                      field(3, b"../../etc/passwd"), field(4, b"inference"), field(6, b"inference.ModelInferRequest"), b"")
    assert len(answers) == 7
    for answer in answers[:3]:
        assert descriptor_pb2.FileDescriptorProto.FromString(parts(parts(answer)[4][0])[1][0]).name == "inference.proto"
    for answer in answers[3:]:
        assert parts(parts(answer)[7][0])[1] == [5]  # NOT_FOUND
    with pytest.raises(grpc.RpcError) as told:
        reflect(channel, version, b"\xff\xff")
    assert told.value.code().name == "INVALID_ARGUMENT"


def test_health_is_watched(program, tmp_path):
    """The status at once, and whenever it changes; an end of the server ends the watch."""
    models = tmp_path / "models"
    models.mkdir()
    booster().save_model(models / "churn.ubj")
    told, ended = queue.Queue(), queue.Queue()

    def watch(channel, service):
        call = channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=None, response_deserializer=None)
        try:
            for status in call(field(1, service)):
                told.put((service, status))
        except grpc.RpcError as error:
            ended.put(error.code().name)

    with serve(tmp_path, "--models", "models", "--watch") as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        threads = [threading.Thread(target=watch, args=(channel, service)) for service in (b"churn", b"later", b"")]
        for thread in threads:
            thread.start()
        assert {told.get(timeout=30) for _ in threads} == {(b"churn", SERVING), (b"later", SERVICE_UNKNOWN), (b"", SERVING)}
        shutil.copy(models / "churn.ubj", models / "later.ubj")
        assert told.get(timeout=30) == (b"later", SERVING)
        (models / "churn.ubj").unlink()
        assert told.get(timeout=30) == (b"churn", SERVICE_UNKNOWN)
        one = channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=None, response_deserializer=None)(field(1, b"later"))
        assert next(one) == SERVING
        one.cancel()
        assert server.get("/v2/health/live").status_code == 200
        with pytest.raises(grpc.RpcError) as refused:
            next(channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=None, response_deserializer=None)(b"\xff"))
        assert refused.value.code().name == "INVALID_ARGUMENT"
        server.process.terminate()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert server.process.wait(30) == 0
    assert {ended.get(timeout=30) for _ in threads} == {"UNAVAILABLE"}
