// The positives of each step, and their negatives. Exact, and independent of the number of threads: a random number
// depends only on its index in the sequence.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "structures.h"
#include "thread_pool.h"

// Number `index` of the sequence that splitmix64 (Steele, Lea and Flood 2014) gives from the seed `key`.
static inline uint64_t random_at(uint64_t key, uint64_t index) {
    uint64_t x = key + (index + 1) * 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

// Uniform below `limit`, with a bias below limit / 2^64.
static inline uint64_t below(uint64_t random, uint64_t limit) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(random) * limit) >> 64);
}

constexpr uint64_t ATTEMPTS = 16;
constexpr int ATTEMPT_BIT = 48;  // the index of a later attempt differs from the first one's in the bits from here on
constexpr uint64_t LAST_ATTEMPT = ATTEMPTS << ATTEMPT_BIT;
constexpr int64_t AT_ONCE = 1 << 12;

// Replace ranks among a user's unknown items by these items. An item's rank is smaller than the item by the number of
// positives below it: positive p with `position` has `p - position` unknown items below. Searches are interleaved.
static inline void unknown_at(const int32_t *items, int64_t known, int64_t n, int32_t *ranks) {
    constexpr int64_t SIDE_BY_SIDE = 8;
    for (int64_t first = 0; first < n; first += SIDE_BY_SIDE) {
        const int64_t some = std::min(SIDE_BY_SIDE, n - first);
        int32_t *rank = ranks + first;
        int32_t passed[SIDE_BY_SIDE] = {};
        for (int64_t left = known; left > 0;) {
            const int32_t half = static_cast<int32_t>((left + 1) / 2);
            for (int64_t k = 0; k < some; k++) {
                const int32_t last = passed[k] + half - 1;
                passed[k] += items[last] - last <= rank[k] ? half : 0;
            }
            left -= half;
        }
        for (int64_t k = 0; k < some; k++) rank[k] += passed[k];
    }
}

static inline void draw_by_search(const Known &known, int64_t user, uint64_t key, uint64_t index, int64_t n,
                                  int32_t *drawn) {
    const int64_t begin = known.offsets[user], taken = known.offsets[user + 1] - begin;
    for (int64_t k = 0; k < n; k++)
        drawn[k] = static_cast<int32_t>(below(random_at(key, index + static_cast<uint64_t>(k) + LAST_ATTEMPT),
                                              static_cast<uint64_t>(known.n_items - taken)));
    unknown_at(known.items + begin, taken, n, drawn);
}

// `n` draws for a user; the first one has the number `index` among all draws.
static inline void draw(const Known &known, int64_t user, uint64_t key, uint64_t index, int64_t n, int32_t *drawn) {
    if (known.bitmap == nullptr) return draw_by_search(known, user, key, index, n, drawn);
    const uint8_t *bits = known.bitmap + user * known.stride;
    for (int64_t k = 0; k < n; k++) {
        bool found = false;
        for (uint64_t attempt = 0; attempt < ATTEMPTS && !found; attempt++) {
            const uint64_t random = random_at(key, index + static_cast<uint64_t>(k) + (attempt << ATTEMPT_BIT));
            const uint64_t item = below(random, static_cast<uint64_t>(known.n_items));
            drawn[k] = static_cast<int32_t>(item);
            found = !((bits[item >> 3] >> (item & 7)) & 1);
        }
        if (!found) draw_by_search(known, user, key, index + static_cast<uint64_t>(k), 1, drawn + k);
    }
}

static inline int64_t bound(int64_t step, int64_t rows, int64_t steps) {
    return static_cast<int64_t>(static_cast<__int128>(step) * rows / steps);
}

static int64_t parts_of(int64_t n, int64_t at_once) { return (n + at_once - 1) / at_once; }

extern "C" {

// Set the users' bits; `bitmap` is all 0.
void ncf_bitmap(ThreadPool *pool, const Known *known, uint8_t *bitmap) {
    pool->each(parts_of(known->n_users, AT_ONCE), [&](int64_t part, int) {
        for (int64_t user = part * AT_ONCE; user < std::min(known->n_users, (part + 1) * AT_ONCE); user++) {
            uint8_t *bits = bitmap + user * known->stride;
            for (int64_t p = known->offsets[user]; p < known->offsets[user + 1]; p++)
                bits[known->items[p] >> 3] |= static_cast<uint8_t>(1 << (known->items[p] & 7));
        }
    });
}

// For each of `n` positives, numbers in `positives` (null: 0 to n - 1), its user, its item and `negatives` draws.
void ncf_draw(ThreadPool *pool, const Known *known, const int32_t *positives, int64_t n, const int32_t *user_of,
              const int32_t *item_of, int64_t negatives, uint64_t key, int32_t *users, int32_t *items) {
    const int64_t at_once = std::max<int64_t>(1, AT_ONCE / (1 + negatives));
    pool->each(parts_of(n, at_once), [&](int64_t part, int) {
        for (int64_t p = part * at_once; p < std::min(n, (part + 1) * at_once); p++) {
            const int64_t positive = positives ? positives[p] : p;
            const int32_t user = user_of[positive];
            int32_t *row = items + p * (1 + negatives);
            users[p] = user;
            row[0] = item_of[positive];
            draw(*known, user, key, static_cast<uint64_t>(positive * negatives), negatives, row + 1);
        }
    });
}

// Deal `n` positives to `steps` steps at random. Those of a step, ascending, are in
// `dealt[bound(step) : bound(step + 1)]`.
//
// The step of each positive is shuffled in two passes (Sanders 1998): into random buckets, then within each bucket,
// which fits a core's cache.
void ncf_deal(ThreadPool *pool, int64_t n, int64_t steps, uint64_t key, int32_t *dealt) {
    constexpr int64_t PART = 1 << 16;
    if (n == 0) return;
    const int64_t parts = parts_of(n, PART);
    int bits = 0;
    while ((int64_t{1} << bits) < parts) bits++;
    const int64_t buckets = int64_t{1} << bits;
    std::vector<int32_t> step_of(static_cast<size_t>(n));
    std::vector<int64_t> counts(static_cast<size_t>(parts * std::max(buckets, steps)));

    // replaces the number of each value in each part by the position of its first one
    const auto to_positions = [&](int64_t values) {
        int64_t before = 0;
        for (int64_t value = 0; value < values; value++)
            for (int64_t part = 0; part < parts; part++) {
                int64_t &count = counts[static_cast<size_t>(part * values + value)];
                const int64_t own = count;
                count = before;
                before += own;
            }
    };
    const auto bucket_of = [&](int64_t p) {
        return bits ? static_cast<int64_t>(random_at(key, static_cast<uint64_t>(p)) >> (64 - bits)) : 0;
    };
    pool->each(parts, [&](int64_t part, int) {
        int64_t *count = &counts[static_cast<size_t>(part * buckets)];
        std::fill(count, count + buckets, 0);
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++) count[bucket_of(p)]++;
    });
    to_positions(buckets);
    std::vector<int64_t> bucket_start(counts.begin(), counts.begin() + buckets);
    bucket_start.push_back(n);
    pool->each(parts, [&](int64_t part, int) {
        int64_t *next = &counts[static_cast<size_t>(part * buckets)];
        int64_t step = part * PART * steps / n;
        while (step > 0 && bound(step, n, steps) > part * PART) step--;
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++) {
            while (bound(step + 1, n, steps) <= p) step++;
            step_of[static_cast<size_t>(next[bucket_of(p)]++)] = static_cast<int32_t>(step);
        }
    });
    pool->each(buckets, [&](int64_t bucket, int) {
        int32_t *own = step_of.data() + bucket_start[static_cast<size_t>(bucket)];
        const int64_t size = bucket_start[static_cast<size_t>(bucket + 1)] - bucket_start[static_cast<size_t>(bucket)];
        const uint64_t first = (static_cast<uint64_t>(bucket) + 1) << 40;
        for (int64_t i = size - 1; i > 0; i--)
            std::swap(own[i],
                      own[below(random_at(key, first + static_cast<uint64_t>(i)), static_cast<uint64_t>(i + 1))]);
    });
    pool->each(parts, [&](int64_t part, int) {
        int64_t *count = &counts[static_cast<size_t>(part * steps)];
        std::fill(count, count + steps, 0);
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++) count[step_of[static_cast<size_t>(p)]]++;
    });
    to_positions(steps);
    pool->each(parts, [&](int64_t part, int) {
        int64_t *next = &counts[static_cast<size_t>(part * steps)];
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++)
            dealt[next[step_of[static_cast<size_t>(p)]]++] = static_cast<int32_t>(p);
    });
}
}
