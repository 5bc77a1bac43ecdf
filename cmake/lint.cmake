# Lints are ordinary tests: a Python program (its own library only) that prints the offenders and ends with 1.
file(GLOB LINTS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/lint/*.py)
list(FILTER LINTS EXCLUDE REGEX "/tree\\.py$")
find_program(PYTHON3 python3 REQUIRED)
foreach(file ${LINTS})
  get_filename_component(name ${file} NAME_WE)
  add_test(NAME lint/${name} COMMAND ${PYTHON3} ${file})
  set_tests_properties(lint/${name} PROPERTIES TIMEOUT 60 LABELS lint)
endforeach()
