// A team of threads that stays: each piece of work is cut into tasks, which whoever is free takes.

#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// The pieces of a step follow each other within microseconds, so a thread that finds nothing to do looks again for
// so long, and then sleeps: on a core that another program wants, one that went on looking would keep it out.
constexpr std::chrono::microseconds PATIENCE{50};

class Team {
  public:
    explicit Team(int size) : size_(size) {
        for (int thread = 1; thread < size; thread++) threads_.emplace_back([this, thread] { work(thread); });
    }

    ~Team() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ended_.store(true);
        }
        wake_.notify_all();
        for (std::thread &thread : threads_) thread.join();
    }

    int size() const { return size_; }

    // Call routine(task, thread) for each task from 0, `thread` being 0 in the caller; back when all are done.
    template <typename Routine>
    void each(int64_t tasks, Routine &&routine) {
        if (tasks <= 0) return;
        if (size_ == 1 || tasks == 1) {
            for (int64_t task = 0; task < tasks; task++) routine(task, 0);
            return;
        }
        // nobody reads these now: all tasks of the piece before are done, and none can be taken
        call_ = [](void *with, int64_t task, int thread) { (*static_cast<Routine *>(with))(task, thread); };
        with_ = const_cast<void *>(static_cast<const void *>(&routine));
        rounding_ = rounding();
        done_.store(0);
        open_.store(static_cast<uint64_t>(tasks) << 32);
        if (asleep_.load() > 0) {
            { std::lock_guard<std::mutex> lock(mutex_); }
            wake_.notify_all();
        }
        while (take(0)) {
        }
        const auto finished = [this, tasks] { return done_.load() == tasks; };
        if (look(finished)) return;
        std::unique_lock<std::mutex> lock(mutex_);
        caller_sleeps_.store(true);
        finished_.wait(lock, finished);
        caller_sleeps_.store(false);
    }

  private:
    // `open_`: the number of tasks, and below it the next one; a task taken stays the current piece's to its end
    static bool some_left(uint64_t open) { return (open & 0xFFFFFFFF) < open >> 32; }

    bool take(int thread) {
        uint64_t open = open_.load();
        do {
            if (!some_left(open)) return false;
        } while (!open_.compare_exchange_weak(open, open + 1));
        if (thread) set_rounding(rounding_);  // whether numbers below 1e-38 are 0 must not depend on the thread
        call_(with_, static_cast<int64_t>(open & 0xFFFFFFFF), thread);
        if (done_.fetch_add(1) + 1 == static_cast<int64_t>(open >> 32) && caller_sleeps_.load()) {
            { std::lock_guard<std::mutex> lock(mutex_); }
            finished_.notify_one();
        }
        return true;
    }

    template <typename Condition>
    static bool look(const Condition &condition) {
        const auto until = std::chrono::steady_clock::now() + PATIENCE;
        do {
            for (int turn = 0; turn < 64; turn++) {
                if (condition()) return true;
#if defined(__x86_64__)
                _mm_pause();
#endif
            }
        } while (std::chrono::steady_clock::now() < until);
        return false;
    }

    void work(int thread) {
        const auto wanted = [this] { return ended_.load() || some_left(open_.load()); };
        while (true) {
            if (!look(wanted)) {
                std::unique_lock<std::mutex> lock(mutex_);
                asleep_.fetch_add(1);
                wake_.wait(lock, wanted);
                asleep_.fetch_sub(1);
            }
            if (ended_.load()) return;
            while (take(thread)) {
            }
        }
    }

#if defined(__x86_64__)
    static unsigned rounding() { return _mm_getcsr(); }
    static void set_rounding(unsigned state) { _mm_setcsr(state); }
#else
    static unsigned rounding() { return 0; }
    static void set_rounding(unsigned) {}
#endif

    const int size_;
    std::vector<std::thread> threads_;
    void (*call_)(void *, int64_t, int) = nullptr;
    void *with_ = nullptr;
    unsigned rounding_ = 0;
    std::atomic<uint64_t> open_{0};
    std::atomic<int64_t> done_{0};
    std::atomic<int> asleep_{0};
    std::atomic<bool> caller_sleeps_{false}, ended_{false};
    std::mutex mutex_;
    std::condition_variable wake_, finished_;
};
