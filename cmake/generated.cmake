# What plain-C generators in tools/ make before the program is compiled, into ${CMAKE_BINARY_DIR}/gen. Every input and output
# is declared, so that a change of one file rebuilds what is made from it and nothing else.

set(SLUICE_GEN ${CMAKE_BINARY_DIR}/gen)
file(MAKE_DIRECTORY ${SLUICE_GEN}/embedded)

# sluice_generator(NAME [SOURCE...]): tools/NAME.c and further sources as a program that runs on the building machine.
function(sluice_generator name)
  add_executable(${name} tools/${name}.c ${ARGN})
  target_compile_options(${name} PRIVATE -Wall -Wextra -Werror)
endfunction()

# sluice_embed(NAME FOLDER GLOB...): the files become sl_embedded_NAME of "embedded/NAME.h" (src/base/embedded.h).
function(sluice_embed name folder)
  list(TRANSFORM ARGN PREPEND ${folder}/ OUTPUT_VARIABLE patterns)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${patterns})
  add_custom_command(
    OUTPUT ${SLUICE_GEN}/embedded/${name}.c ${SLUICE_GEN}/embedded/${name}.h
    COMMAND embed ${name} ${SLUICE_GEN}/embedded ${folder} ${files}
    DEPENDS embed ${files}
    COMMENT "embedding ${name}" VERBATIM)
  target_sources(core PRIVATE ${SLUICE_GEN}/embedded/${name}.c ${SLUICE_GEN}/embedded/${name}.h)
endfunction()

sluice_generator(embed)
sluice_embed(migrations ${CMAKE_SOURCE_DIR}/src/backend/migrations *.sql)
sluice_embed(proto ${CMAKE_SOURCE_DIR}/spec/proto *.proto) # for gRPC's reflection

# Operations: spec/op/NAME.json -> table, OpenAPI, man pages, completion (tools/opgen.c). A verb whose handler is missing fails at the link.
sluice_generator(opgen tools/opgen_table.c tools/opgen_openapi.c tools/opgen_docs.c)
target_include_directories(opgen SYSTEM PRIVATE ${SLUICE_PREFIX}/include)
target_link_libraries(opgen PRIVATE ${SLUICE_PREFIX}/lib/libyyjson.so)
file(GLOB SLUICE_SPECS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/spec/op/*.json)
set(SLUICE_OP_FILES ${SLUICE_GEN}/op/handlers.h ${SLUICE_GEN}/op/table.c ${SLUICE_GEN}/op/openapi.c)
add_custom_command(
  OUTPUT ${SLUICE_OP_FILES}
  COMMAND opgen ${SLUICE_GEN} ${PROJECT_VERSION} ${SLUICE_SPECS}
  DEPENDS opgen ${SLUICE_SPECS}
  COMMENT "operations" VERBATIM)
target_sources(core PRIVATE ${SLUICE_OP_FILES})
