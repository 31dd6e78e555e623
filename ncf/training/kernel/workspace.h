// The buffers of a step, and the order of its samples by item.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "structures.h"
#include "thread_pool.h"

constexpr int64_t SAMPLES_AT_ONCE = 256;  // their activations stay in a core's cache
constexpr int64_t ITEMS_AT_ONCE = 64;
// The chunks that a step's users and items are cut into. Samples are summed chunk by chunk, so the result does not
// depend on the number of threads.
constexpr int64_t CHUNKS = 16;
constexpr int64_t LANES_AT_MOST = 16;

template <typename Number>
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer() { std::free(data_); }

    // Memory for `size` numbers and one more vector. The contents are lost when the buffer grows.
    Number *room(int64_t size) {
        if (size > capacity_) {
            std::free(data_);
            data_ = nullptr;
            capacity_ = 0;
            const size_t bytes = (static_cast<size_t>(size) * sizeof(Number) + 127) / 64 * 64;
            data_ = static_cast<Number *>(std::aligned_alloc(64, bytes));
            if (data_ == nullptr) throw std::bad_alloc();
            capacity_ = size;
        }
        return data_;
    }

    Number *data() { return data_; }

  private:
    Number *data_ = nullptr;
    int64_t capacity_ = 0;
};

// Buffers of one thread.
struct Scratch {
    Buffer<float> hidden[MOST_LAYERS + 1], error[MOST_LAYERS + 1];
    Buffer<float> user_side, user_error, logits, losses, sums, embeddings, gradients, bias;
};

struct Workspace {
    explicit Workspace(ThreadPool &with) : pool(with), scratch(with.size()) {}

    ThreadPool &pool;
    std::vector<Scratch> scratch;

    int64_t width[MOST_LAYERS + 1];            // widths rounded up to whole vectors
    Buffer<float> forward[MOST_LAYERS];        // [in, out], padded with 0; of the first layer the users' part
    Buffer<float> backward[MOST_LAYERS];       // [out, in]
    Buffer<float> item_forward, item_backward;  // the items' part of the first layer
    Buffer<float> item_first;                  // [n_rows, width[1]]: an item's part of the first layer, and the bias
    Buffer<float> first_error;                 // [samples, width[1]]: the loss by the first layer
    Buffer<float> error;                       // [samples]: the loss by the logit

    // Samples by item: those of row r are order[start[r] : start[r + 1]].
    Buffer<int32_t> order, other_order, start, row_of, counts;

    // Sums of a chunk of users: for each layer its weights [in, out] and its biases, then the output's; and of a
    // chunk of items: the items' part of the first layer, and its bias.
    Buffer<float> sums, item_sums;
    int64_t weight_at[MOST_LAYERS], bias_at[MOST_LAYERS], output_at, output_bias_at, sums_size;
    int64_t item_sums_size = 0;  // without a tower
    double loss[CHUNKS];

    int64_t user_cut[CHUNKS + 1];  // first position of each chunk in the step's users; no user is in two
    int64_t item_cut[CHUNKS + 1];  // first row of each chunk

    void prepare(const Step &step, int64_t lanes);
    int64_t sort_items(const Step &step, int32_t *distinct);
    void number_rows(const Step &step);

  private:
    void cut_users(const Step &step);
    void cut_items(const Step &step);
};
