/* Lineage as W3C PROV, in its JSON form (W3C Member Submission "The PROV-JSON Serialization", 2013).
 *
 *   run -> activity                         everything else -> entity                  this program -> agent
 *   made_by, output -> wasGeneratedBy       input, read_by -> used                     step -> wasStartedBy
 *   model (of a prediction) -> wasDerivedFrom              package, version of a package -> specializationOf
 *
 * Names are the lineage's own: "dataset:rows@4f..." is prefix `dataset` and a local name, in which bytes other than letters, digits
 * and . _ - @ / # are written as %XX.
 */
#ifndef SL_TRACK_PROV_H
#define SL_TRACK_PROV_H

#include "base/error.h"
#include "base/json.h"

/* `graph` is of track/lineage.h and in `doc`, where *ret lives too. */
int sl_prov_write(yyjson_mut_val *graph, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct sl_error *err);

#endif
