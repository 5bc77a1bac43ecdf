/* `verify BUNDLE`: a bundle of evidence, proved without a store. */
#ifndef SL_OP_EVIDENCE_H
#define SL_OP_EVIDENCE_H

#include "op/context.h"

int sl_verify_bundle(struct sl_call *call, struct sl_error *err);

#endif
