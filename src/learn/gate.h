/* Gate rules: may a candidate pass? One rule compares a metric of the candidate with a number or with the champion's, scored on
 * the same rows:
 *
 *   rule   = METRIC ("<" | "<=" | ">" | ">=") side
 *   side   = NUMBER | "champion." METRIC [("+" | "-" | "*") NUMBER]
 *
 *   auc >= 0.62        auc >= champion.auc - 0.002        log_loss <= champion.log_loss * 1.01
 *
 * All rules must hold. A rule that names the champion passes when there is none, and says so. A metric that is missing or NaN
 * fails its rule.
 */
#ifndef SL_LEARN_GATE_H
#define SL_LEARN_GATE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "learn/metrics.h"

struct sl_gate_rule {
	char metric[64];
	char comparison[3]; /* "<", "<=", ">", ">=" */
	bool champion;	    /* the right side is the champion's `champion_metric` */
	char champion_metric[64];
	char operation; /* '+', '-', '*', or 0: the champion's value as it is */
	double number;	/* the bar, or the operation's operand */
};
/* Errors carry the column (from 1) and the nearest metric's name. */
int sl_gate_parse(const char *text, struct sl_gate_rule *ret, struct sl_error *err);
/* Does any rule look at the champion? Then it has to be scored anew. Rules that do not parse count as no. */
bool sl_gate_wants_champion(const char *const *rules, size_t count);

/* *ret_passed, and `verdict` gets a JSON array, one object per rule: {"rule","passed","value","bar","note"}. `champion` NULL:
 * there is none. */
int sl_gate_check(const char *const *rules, size_t count, const struct sl_scores *candidate, const struct sl_scores *champion,
		  bool *ret_passed, struct sl_buf *verdict, struct sl_error *err);

#endif
