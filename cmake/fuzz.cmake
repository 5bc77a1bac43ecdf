# fuzz/fuzz_NAME.c holds LLVMFuzzerTestOneInput and nothing else. The preset `fuzz` makes a fuzzer of it; every other preset
# links fuzz/replay_main.c instead, and ctest replays fuzz/corpus/NAME/* (what was once found, and a few good inputs).
file(GLOB FUZZERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/fuzz/fuzz_*.c)
foreach(file ${FUZZERS})
  get_filename_component(target ${file} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" name ${target})
  add_executable(${target} ${file})
  target_link_libraries(${target} PRIVATE core)
  # The fuzzer's entry point is called from outside, by the name that libFuzzer gives it.
  set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS -Wno-missing-prototypes)
  if(SLUICE_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${target} PRIVATE fuzz/replay_main.c)
    add_test(NAME fuzz/${name} COMMAND ${target} ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name})
    set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 120 LABELS fuzz ENVIRONMENT "${SLUICE_TEST_ENVIRONMENT}")
  endif()
endforeach()
