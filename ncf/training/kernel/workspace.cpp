// Buffers and the order of a step's samples by item.

#include "workspace.h"

#include <cstring>

constexpr int64_t MOST_BITS = 12;  // of a digit that samples are sorted by

static int64_t padded(int64_t width, int64_t lanes) { return (width + lanes - 1) / lanes * lanes; }

void Workspace::prepare(const Step &step, int64_t lanes) {
    const int64_t layers = step.layers, samples = step.positives * step.fan;
    const int64_t block = std::max<int64_t>(1, SAMPLES_AT_ONCE / step.fan), most = block * step.fan;
    int64_t at = 0;
    for (int64_t l = 0; l <= layers && layers; l++) width[l] = padded(step.widths[l], lanes);
    for (int64_t l = 0; l < layers; l++) {
        forward[l].room(width[l] * width[l + 1]);
        backward[l].room(width[l + 1] * width[l]);
        weight_at[l] = at;
        at += width[l] * width[l + 1];
        bias_at[l] = at;
        at += width[l + 1];
    }
    output_at = at;
    at += padded(step.factors + (layers ? step.widths[layers] : 0), lanes);
    output_bias_at = at;
    sums_size = padded(at + 1, LANES_AT_MOST);
    sums.room(CHUNKS * sums_size);
    error.room(samples);
    if (layers) {
        item_forward.room(width[0] * width[1]);
        item_backward.room(width[1] * width[0]);
        item_first.room(step.n_rows * width[1]);
        first_error.room(samples * width[1]);
        item_sums_size = width[0] * width[1] + width[1];
        item_sums.room(CHUNKS * item_sums_size);
    }
    for (Scratch &own : scratch) {
        for (int64_t l = 0; l <= layers && layers; l++) {
            own.hidden[l].room((l ? most : block) * width[l]);
            own.error[l].room((l ? most : block) * width[l]);
        }
        own.logits.room(most);
        own.losses.room(most);
        own.sums.room(step.factors);
        if (layers) {
            own.user_side.room(block * width[1]);
            own.user_error.room(block * width[1]);
            own.bias.room(*std::max_element(width, width + layers + 1));
            own.embeddings.room(ITEMS_AT_ONCE * width[0]);
            own.gradients.room(ITEMS_AT_ONCE * std::max(width[0], width[1]) * 2);
        }
    }
    cut_users(step);
    cut_items(step);
}

void Workspace::cut_users(const Step &step) {
    for (int64_t chunk = 0; chunk <= CHUNKS; chunk++) {
        int64_t cut = step.positives * chunk / CHUNKS;
        while (cut > 0 && cut < step.positives && step.users[cut] == step.users[cut - 1]) cut--;
        user_cut[chunk] = cut;
    }
}

// Balances the chunks: the products of a row cost about as much as some samples, with or without samples in the row.
void Workspace::cut_items(const Step &step) {
    const int32_t *first = start.data();
    const int64_t of_a_row = 1 + (step.layers ? 8 : 0);
    const int64_t total = first[step.n_rows] + of_a_row * step.n_rows;
    item_cut[0] = 0;
    for (int64_t chunk = 1; chunk < CHUNKS; chunk++) {
        int64_t low = item_cut[chunk - 1], high = step.n_rows;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (first[middle] + of_a_row * middle < total * chunk / CHUNKS)
                low = middle + 1;
            else
                high = middle;
        }
        item_cut[chunk] = low;
    }
    item_cut[CHUNKS] = step.n_rows;
}

// OUT_OF_RANGE, NOT_ASCENDING, or 0 for valid samples.
static int64_t fault(const Step &step) {
    const int64_t samples = step.positives * step.fan;
    int32_t lowest = 0, highest = 0, falls = 0;
    for (int64_t m = 0; m < samples; m++) {
        lowest = std::min(lowest, step.items[m]);
        highest = std::max(highest, step.items[m]);
    }
    if (lowest < 0 || (samples && highest >= step.n_items)) return OUT_OF_RANGE;
    lowest = highest = 0;
    for (int64_t p = 0; p < step.positives; p++) {
        lowest = std::min(lowest, step.users[p]);
        highest = std::max(highest, step.users[p]);
    }
    if (lowest < 0 || (samples && highest >= step.n_users)) return OUT_OF_RANGE;
    for (int64_t p = 1; p < step.positives; p++) falls |= step.users[p] < step.users[p - 1];
    return falls ? NOT_ASCENDING : 0;
}

// Order samples by item (stable radix sort). `distinct`, unless it is null, gets the step's items, ascending.
int64_t Workspace::sort_items(const Step &step, int32_t *distinct) {
    if (const int64_t found = fault(step)) return found;
    const int64_t samples = step.positives * step.fan;
    const int32_t *items = step.items;
    int64_t bits = 1;
    while ((int64_t{1} << bits) < step.n_items) bits++;
    const int64_t passes = (bits + MOST_BITS - 1) / MOST_BITS, digit_bits = (bits + passes - 1) / passes;
    const int64_t digits = int64_t{1} << digit_bits, parts = samples < (1 << 12) ? 1 : pool.size();
    counts.room(parts * digits);
    start.room(std::max(step.n_items, digits) + 1);
    order.room(samples);
    other_order.room(samples);
    for (int64_t pass = 0; pass < passes; pass++) {
        const int64_t shift = pass * digit_bits;
        // the last pass writes `order`
        int32_t *to = (passes - pass) % 2 ? order.data() : other_order.data();
        const int32_t *from = pass == 0 ? nullptr : (passes - pass) % 2 ? other_order.data() : order.data();
        const auto digit = [&](int64_t position, int32_t &sample) {
            sample = from ? from[position] : static_cast<int32_t>(position);
            return (items[sample] >> shift) & (digits - 1);
        };
        pool.each(parts, [&](int64_t part, int) {
            int32_t *count = counts.data() + part * digits, sample;
            std::memset(count, 0, digits * sizeof(int32_t));
            for (int64_t p = samples * part / parts; p < samples * (part + 1) / parts; p++) count[digit(p, sample)]++;
        });
        int32_t before = 0, *first = start.data();
        for (int64_t d = 0; d < digits; d++) {
            if (passes == 1 && d <= step.n_items) first[d] = before;
            for (int64_t part = 0; part < parts; part++) {
                int32_t &count = counts.data()[part * digits + d];
                const int32_t own = count;
                count = before;
                before += own;
            }
        }
        if (digits == step.n_items) first[digits] = before;
        pool.each(parts, [&](int64_t part, int) {
            int32_t *next_of = counts.data() + part * digits, sample;
            for (int64_t p = samples * part / parts; p < samples * (part + 1) / parts; p++) {
                int32_t &next = next_of[digit(p, sample)];
                to[next++] = sample;
            }
        });
    }
    int64_t found = 0;
    if (distinct)
        for (int64_t p = 0; p < samples; p++) {
            const int32_t item = items[order.data()[p]];
            if (found == 0 || distinct[found - 1] != item) distinct[found++] = item;
        }
    return found;
}

// Set the row of each sample's item, and the first sample of each row; needs `order`.
void Workspace::number_rows(const Step &step) {
    const int64_t samples = step.positives * step.fan;
    const int32_t *by_item = order.data(), *items = step.items;
    int32_t *first = start.room(step.n_rows + 1);
    if (step.rows == nullptr) {
        if (step.n_items <= (1 << MOST_BITS)) return;  // sort_items has sorted in one pass, which sets `start`
        const int64_t parts = samples < (1 << 12) ? 1 : pool.size();
        pool.each(parts, [&](int64_t part, int) {
            const int64_t begin = samples * part / parts, end = samples * (part + 1) / parts;
            int64_t row = begin ? items[by_item[begin - 1]] + 1 : 0;
            for (int64_t p = begin; p < end; p++)
                for (const int64_t item = items[by_item[p]]; row <= item; row++) first[row] = static_cast<int32_t>(p);
            if (end == samples)
                for (; row <= step.n_rows; row++) first[row] = static_cast<int32_t>(samples);
        });
        return;
    }
    int32_t *row_of_sample = row_of.room(samples);
    int64_t p = 0;
    for (int64_t row = 0; row < step.n_rows; row++) {
        first[row] = static_cast<int32_t>(p);
        for (; p < samples && items[by_item[p]] == step.rows[row]; p++)
            row_of_sample[by_item[p]] = static_cast<int32_t>(row);
    }
    first[step.n_rows] = static_cast<int32_t>(p);
}
