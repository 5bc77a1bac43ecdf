/* Sources that are http(s) addresses: the file behind one, kept in .sluice/fetched and asked for again only when it changed. */
#ifndef SL_DATA_FETCH_H
#define SL_DATA_FETCH_H

#include "project/project.h"
#include "track/store.h"

bool sl_source_remote(const struct sl_source *source);
/* Path of the local copy, brought up to date: one HEAD when entity tag (or date and length) are what they were. A transfer that broke off
 * goes on where it stopped, when the server can and the entity tag still holds. It is tried three times. */
int sl_source_fetch(struct sl_store *store, const struct sl_source *source, char out[SL_PATH_MAX], struct sl_error *err);

#endif
