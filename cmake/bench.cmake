# bench/NAME.c becomes bench_NAME. Black-box tests use them too: bench_trees answers what the tree engine predicts. Target benches is all of them.
add_custom_target(benches)
file(GLOB BENCHES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c)
foreach(file ${BENCHES})
  get_filename_component(name ${file} NAME_WE)
  add_executable(bench_${name} ${file})
  target_link_libraries(bench_${name} PRIVATE core)
  add_dependencies(benches bench_${name})
endforeach()
