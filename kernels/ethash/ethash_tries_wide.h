/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to ethash: full and light hashes of all wide variants, on what ethash_wide.h and the
 * including file bring. */
struct hash_group {
    _Alignas(64) struct rr_ethash_node seed[GROUP];
    struct rr_ethash_node mix[2 * GROUP]; /* two for each try */
    vec seed_word;                        /* word 0 of the seeds */
    uint32_t row[GROUP];
    struct rr_ethash_try *to[GROUP];
};

/* Spreads the next tries over groups, as many as they need, and says how many those are. Places
 * left over make the first try for nobody. */
static size_t take_tries(struct hash_group *group, size_t groups_max, struct rr_ethash_try *tries,
                         size_t count, struct rr_ethash_try *nobody)
{
    size_t groups = (count + GROUP - 1) / GROUP;
    groups = groups < groups_max ? groups : groups_max;
    *nobody = tries[0];
    for (size_t i = 0; i < groups * GROUP; i++) {
        group[i / GROUP].to[i % GROUP] = i < count ? &tries[i] : nobody;
    }
    return groups;
}

static void start_tries(struct hash_group *group)
{
    for (int first = 0; first < GROUP; first += STATES) {
        _Alignas(64) uint64_t lanes[25 * STATES] = {0};
        for (int s = 0; s < STATES; s++) {
            const struct rr_ethash_try *from = group->to[first + s];
            ethash_put(lanes + s, STATES, from->header_hash, 4);
            ethash_put(lanes + 4 * STATES + s, STATES, &from->nonce, 1);
            lanes[5 * STATES + s] = ETHASH_PAD_FIRST;
            lanes[8 * STATES + s] = ETHASH_PAD_LAST;
        }
        permute(lanes);
        for (int s = 0; s < STATES; s++) {
            struct rr_ethash_node *seed = &group->seed[first + s];
            ethash_get(seed, lanes + s, STATES, 8);
            group->mix[2 * (first + s)] = *seed;
            group->mix[2 * (first + s) + 1] = *seed;
        }
    }
    group->seed_word = collect(group->seed, 1, 0);
}

static void give_tries(struct hash_group *group)
{
    for (int first = 0; first < GROUP; first += STATES) {
        _Alignas(64) uint64_t lanes[25 * STATES] = {0};
        for (int s = 0; s < STATES; s++) {
            struct rr_ethash_try *to = group->to[first + s];
            ethash_fold(to->mix, &group->mix[2 * (first + s)]);
            ethash_put(lanes + s, STATES, &group->seed[first + s], 8);
            ethash_put(lanes + 8 * STATES + s, STATES, to->mix, 4);
            lanes[12 * STATES + s] = ETHASH_PAD_FIRST;
            lanes[16 * STATES + s] = ETHASH_PAD_LAST;
        }
        permute(lanes);
        for (int s = 0; s < STATES; s++) {
            ethash_get(group->to[first + s]->final_be, lanes + s, STATES, 4);
        }
    }
}

/* Numbers of the rows of access `access`. */
static inline vec choose_rows(const struct hash_group *group, const struct divisor *rows,
                              uint32_t access)
{
    vec word = collect(&group->mix[access % 32 / 16], 2, access % 16);
    return modulo(fnv(exor(group->seed_word, spread(access)), word), rows);
}

static inline void ask_rows(struct hash_group *group, const struct rr_ethash_node *dataset,
                            const struct divisor *rows, uint32_t access)
{
    put(group->row, choose_rows(group, rows, access));
    for (int i = 0; i < GROUP; i++) {
        const struct rr_ethash_node *row = dataset + 2 * (size_t)group->row[i];
        __builtin_prefetch(row, 0, ASK);
        __builtin_prefetch(row + 1, 0, ASK);
    }
}

static inline void mix_rows(struct hash_group *group, const struct rr_ethash_node *dataset)
{
    for (int i = 0; i < GROUP; i++) {
        const struct rr_ethash_node *row = dataset + 2 * (size_t)group->row[i];
        mix_node(&group->mix[2 * i], row);
        mix_node(&group->mix[2 * i + 1], row + 1);
    }
}

static void full(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *dataset,
                 uint32_t dataset_items)
{
    const struct divisor rows = make_divisor(dataset_items);
    struct hash_group group[GROUPS];
    struct rr_ethash_try nobody;
    for (size_t done = 0; done < count; done += (size_t)GROUPS * GROUP) {
        size_t groups = take_tries(group, GROUPS, tries + done, count - done, &nobody);
        for (size_t g = 0; g < groups; g++) {
            start_tries(&group[g]);
            ask_rows(&group[g], dataset, &rows, 0);
        }
        for (uint32_t access = 0; access < ETHASH_ACCESSES; access++) {
            for (size_t g = 0; g < groups; g++) {
                mix_rows(&group[g], dataset);
                if (access + 1 < ETHASH_ACCESSES) {
                    ask_rows(&group[g], dataset, &rows, access + 1);
                }
            }
        }
        for (size_t g = 0; g < groups; g++) {
            give_tries(&group[g]);
        }
    }
}

/* Groups 2 h and 2 h + 1 of nodes are the left and the right halves of the rows of group h. */
static void light(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t dataset_items)
{
    const struct divisor rows = make_divisor(dataset_items);
    const struct divisor divisor = make_divisor(cache_items);
    struct hash_group group[GROUPS / 2];
    struct node_group made[GROUPS];
    struct rr_ethash_try nobody;
    for (size_t done = 0; done < count; done += TRIES) {
        if (count - done == 1) { /* alone in its registers it takes longer than by the law */
            struct rr_ethash_try *to = &tries[done];
            rr_ethash_light(to->mix, to->final_be, cache, cache_items, dataset_items,
                            to->header_hash, to->nonce);
            return;
        }
        size_t groups = take_tries(group, GROUPS / 2, tries + done, count - done, &nobody);
        for (size_t h = 0; h < groups; h++) {
            start_tries(&group[h]);
        }
        for (uint32_t access = 0; access < ETHASH_ACCESSES; access++) {
            for (size_t h = 0; h < groups; h++) {
                vec row = choose_rows(&group[h], &rows, access);
                made[2 * h].index = add(row, row);
                made[2 * h + 1].index = add(made[2 * h].index, spread(1));
            }
            make_nodes(made, 2 * groups, cache, &divisor);
            for (size_t h = 0; h < groups; h++) {
                for (size_t i = 0; i < 2 * (size_t)GROUP; i++) {
                    mix_node(&group[h].mix[i], &made[2 * h + i % 2].mix[i / 2]);
                }
            }
        }
        for (size_t h = 0; h < groups; h++) {
            give_tries(&group[h]);
        }
    }
}
