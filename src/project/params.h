/* Inside project/: parameters and their overrides. */
#ifndef SL_PROJECT_PARAMS_H
#define SL_PROJECT_PARAMS_H

#include "project/load.h"

int sl_read_params(struct sl_loader *loader, const struct sl_yaml *node, void *project);
/* Puts `text` (key=value) over the file's value; its type must fit the parameter's. */
int sl_param_override(struct sl_loader *loader, const char *text);
/* Every parameter must be used by something: called at the end. */
int sl_params_check_used(struct sl_loader *loader);

#endif
