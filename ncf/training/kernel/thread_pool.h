// A pool of threads. Each job is cut into tasks. A thread takes its own share of the tasks first, the same in each job,
// so that their data are in its core's cache; then it takes tasks that other threads have not begun.

#pragma once

#include <sched.h>

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

// Time that an idle thread spins before it sleeps. The jobs of a step follow each other within microseconds; a longer
// spin would keep other programs from the core.
constexpr std::chrono::microseconds SPIN_TIME{50};

class ThreadPool {
  public:
    explicit ThreadPool(int size) : size_(size), shares_(static_cast<size_t>(size)) {
        cpu_set_t allowed;
        CPU_ZERO(&allowed);
        // A pool that takes all cores pins each of its threads to one. Without, the scheduler may leave two threads on
        // one core while another program runs.
        if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) == size)
            for (int core = 0; core < CPU_SETSIZE; core++)
                if (CPU_ISSET(core, &allowed)) cores_.push_back(core);
        for (int thread = 1; thread < size; thread++) threads_.emplace_back([this, thread] { work(thread); });
    }

    ~ThreadPool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ended_.store(true);
        }
        wake_.notify_all();
        for (std::thread &thread : threads_) thread.join();
    }

    int size() const { return size_; }

    // Call routine(task, thread) for each task from 0, and wait for all. `thread` is 0 in the caller.
    template <typename Routine>
    void each(int64_t tasks, Routine &&routine) {
        if (tasks <= 0) return;
        if (size_ == 1 || tasks == 1) {
            for (int64_t task = 0; task < tasks; task++) routine(task, 0);
            return;
        }
        // no thread reads these now: all tasks of the previous job are done
        call_ = [](void *with, int64_t task, int thread) { (*static_cast<Routine *>(with))(task, thread); };
        with_ = const_cast<void *>(static_cast<const void *>(&routine));
        rounding_ = rounding();
        done_.store(0);
        tasks_ = tasks;
        for (int64_t thread = 0; thread < size_; thread++)
            shares_[static_cast<size_t>(thread)].range.store(
                static_cast<uint64_t>(tasks * thread / size_) << 32 |
                static_cast<uint64_t>(tasks * (thread + 1) / size_));
        job_.fetch_add(1);
        if (asleep_.load() > 0) {
            { std::lock_guard<std::mutex> lock(mutex_); }
            wake_.notify_all();
        }
        while (take(0)) {
        }
        const auto finished = [this, tasks] { return done_.load() == tasks; };
        if (spin_until(finished)) return;
        std::unique_lock<std::mutex> lock(mutex_);
        caller_sleeps_.store(true);
        finished_.wait(lock, finished);
        caller_sleeps_.store(false);
    }

  private:
    // The tasks begin : end of a thread that are not yet taken, in one number. The job cannot end before a task that
    // is taken.
    struct alignas(64) Share {
        std::atomic<uint64_t> range{0};
    };

    bool take(int thread) {
        for (int away = 0; away < size_; away++) {
            std::atomic<uint64_t> &range = shares_[static_cast<size_t>((thread + away) % size_)].range;
            uint64_t open = range.load();
            while (open >> 32 < (open & 0xFFFFFFFF)) {
                const uint64_t begin = open >> 32, end = open & 0xFFFFFFFF;
                const uint64_t left = away ? begin << 32 | (end - 1) : (begin + 1) << 32 | end;
                if (!range.compare_exchange_weak(open, left)) continue;
                if (thread) set_rounding(rounding_);  // the same treatment of denormal numbers in all threads
                call_(with_, static_cast<int64_t>(away ? end - 1 : begin), thread);
                const int64_t tasks = tasks_;
                if (done_.fetch_add(1) + 1 == tasks && caller_sleeps_.load()) {
                    { std::lock_guard<std::mutex> lock(mutex_); }
                    finished_.notify_one();
                }
                return true;
            }
        }
        return false;
    }

    template <typename Condition>
    static bool spin_until(const Condition &condition) {
        const auto until = std::chrono::steady_clock::now() + SPIN_TIME;
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
        if (!cores_.empty()) {
            cpu_set_t own;
            CPU_ZERO(&own);
            CPU_SET(cores_[static_cast<size_t>(thread)], &own);
            sched_setaffinity(0, sizeof own, &own);
        }
        uint64_t seen = 0;
        const auto wanted = [&] { return ended_.load() || job_.load() != seen; };
        while (true) {
            if (!spin_until(wanted)) {
                std::unique_lock<std::mutex> lock(mutex_);
                asleep_.fetch_add(1);
                wake_.wait(lock, wanted);
                asleep_.fetch_sub(1);
            }
            if (ended_.load()) return;
            seen = job_.load();
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
    std::vector<int> cores_;
    std::vector<std::thread> threads_;
    void (*call_)(void *, int64_t, int) = nullptr;
    void *with_ = nullptr;
    unsigned rounding_ = 0;
    int64_t tasks_ = 0;
    std::vector<Share> shares_;
    std::atomic<uint64_t> job_{0};
    std::atomic<int64_t> done_{0};
    std::atomic<int> asleep_{0};
    std::atomic<bool> caller_sleeps_{false}, ended_{false};
    std::mutex mutex_;
    std::condition_variable wake_, finished_;
};
