/* A .proto file as gRPC's reflection gives it: a serialized FileDescriptorProto (google/protobuf/descriptor.proto).
 *
 * For the program's own files in spec/proto: proto3, types named in full (".inference.ModelReadyRequest") or scalars, enums before
 * their use, no imports, no options. */
#ifndef SL_OIP_PROTO_FILE_H
#define SL_OIP_PROTO_FILE_H

#include "base/buf.h"

enum { SL_PROTO_FILE_DEPTH_MAX = 8 };

/* Appends the descriptor to `out`, and to `names` each service, method, message and enum by its full name, ended by a newline
 * ("inference.GRPCInferenceService\n"); services to `services` likewise. SL_E_BUG with the line: the file is none of these. */
int sl_proto_file(const char *name, const char *text, struct sl_buf *out, struct sl_buf *names, struct sl_buf *services, struct sl_error *err);

#endif
