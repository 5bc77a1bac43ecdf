# bin/sluice, lib/sluice/ with what it loads on first use, manual pages, completion, licences. The program looks for
# ../lib/sluice beside itself, so the whole can be moved.
include(GNUInstallDirs)
if(TARGET sluice)
  install(TARGETS sluice RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY ${SLUICE_PREFIX}/lib/ DESTINATION lib/sluice USE_SOURCE_PERMISSIONS
  FILES_MATCHING PATTERN "lib*.so*")
install(DIRECTORY ${SLUICE_PREFIX}/licenses/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/licenses)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Made while building (tools/opgen.c), so whether they exist is known only then.
install(DIRECTORY ${SLUICE_GEN}/share/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL FILES_MATCHING PATTERN "*.1")
install(FILES ${SLUICE_GEN}/share/completion/sluice.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME sluice OPTIONAL)
install(FILES ${SLUICE_GEN}/share/completion/_sluice DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions OPTIONAL)
