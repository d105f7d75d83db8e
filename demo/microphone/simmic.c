/*
 * A simulated USB microphone for ALSA: a capture plugin that delivers sound at the pace of CLOCK_MONOTONIC.
 *
 * Programs meet it through the ordinary ALSA library, so PortAudio runs its real code against it. It needs no
 * sound card, no kernel module, no daemon and no privilege.
 *
 *     pcm_type.simmic { lib "/path/libasound_module_pcm_simmic.so" }
 *     pcm.mic { type simmic control "/path/control" rate 16000 channels 1 voice_channel 1 }
 *
 * What it does is told through the control page, a file of one page that this plugin and its driver
 * (driver.py, which must agree on the layout below) both map into memory.
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_BYTES 4096
#define CONTROL_MAGIC 0x31434d53u /* "SMC1" */
#define NS_PER_S 1000000000ull
#define WAKE_MARGIN_NS 200000ull /* so that a wake never falls just short of a full period */
#define LONGEST_WAIT_NS 50000000ull /* so that a fault is seen soon, however long the period */
#define HIGHEST_RATE_HZ 192000
#define STEPS_PER_S 1000 /* the position moves in steps of 1 ms, as on a full-speed USB device */

enum mode {
    MODE_PLUGGED = 0,
    MODE_UNPLUGGED = 1, /* the stream's state goes to DISCONNECTED, as the kernel does it */
    MODE_UNPLUGGED_AS_OVERRUN = 2, /* the same, but the failing transfers show as an overrun first */
    MODE_STALLED = 3, /* no error and no more sound */
    MODE_MUTED = 4, /* the pace goes on, every sample is the offset, which is mostly zero */
};

struct control {
    uint32_t magic;
    volatile uint32_t mode;
    volatile uint32_t overruns_asked;
    volatile uint32_t overruns_done;
    volatile uint32_t said_asked; /* counts what the driver wants said; the sound is the file named by `path` */
    volatile uint32_t said_begun;
    volatile uint32_t said_done;
    volatile uint32_t opens;
    volatile uint32_t starts;
    volatile uint32_t noise; /* peak of the room's noise, in steps of a 16-bit sample */
    volatile uint64_t frames; /* delivered by the stream that read last */
    char path[512]; /* raw 16-bit mono at the microphone's rate */
    volatile uint32_t rate_hz; /* of streams that are opened from now on; 0: as configured */
    volatile uint32_t pace_hz; /* frames a second that really come; 0: as many as the rate says */
    volatile int32_t offset; /* added to every sample, in steps */
    volatile uint32_t dead_channels; /* bit 0 is the first channel: all of its samples are zero */
};

struct microphone {
    snd_pcm_ioplug_t io;
    struct control *control;
    unsigned rate_hz;
    unsigned pace_hz;
    unsigned channels;
    unsigned voice_channel; /* from 0 */
    uint64_t started_ns;
    bool stalled;
    snd_pcm_uframes_t stalled_at;
    snd_pcm_uframes_t pointer;
    const int16_t *voice;
    size_t voice_bytes;
    uint64_t voice_from; /* stream position of its first sample */
    uint32_t noise_state;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t frames_to_ns(const struct microphone *mic, uint64_t frames)
{
    return (uint64_t)((__uint128_t)frames * NS_PER_S / mic->pace_hz);
}

static bool is_gone(const struct microphone *mic)
{
    return mic->control->mode == MODE_UNPLUGGED || mic->control->mode == MODE_UNPLUGGED_AS_OVERRUN;
}

static bool overrun_is_due(const struct microphone *mic)
{
    return mic->control->overruns_asked != mic->control->overruns_done;
}

static unsigned wanted_pace_hz(const struct microphone *mic)
{
    return mic->control->pace_hz ? mic->control->pace_hz : mic->rate_hz;
}

/* Frames that the microphone has produced since the stream's start. */
static snd_pcm_uframes_t position(struct microphone *mic)
{
    uint64_t elapsed_ns = now_ns() - mic->started_ns;
    snd_pcm_uframes_t frames = (snd_pcm_uframes_t)((__uint128_t)elapsed_ns * mic->pace_hz / NS_PER_S);

    if (mic->pace_hz != wanted_pace_hz(mic)) { /* from here on; what was produced stays */
        mic->pace_hz = wanted_pace_hz(mic);
        mic->started_ns = now_ns() - frames_to_ns(mic, frames);
    }
    if (mic->control->mode == MODE_STALLED) {
        if (!mic->stalled) {
            mic->stalled = true;
            mic->stalled_at = frames;
        }
        return mic->stalled_at;
    }
    if (mic->stalled) { /* goes on where it stopped, as if the time between had not been */
        mic->stalled = false;
        mic->started_ns = now_ns() - frames_to_ns(mic, mic->stalled_at);
        return mic->stalled_at;
    }
    return frames - frames % (mic->rate_hz / STEPS_PER_S);
}

static int wake_when_a_period_is_full(struct microphone *mic)
{
    uint64_t full_ns = mic->started_ns + WAKE_MARGIN_NS
                     + frames_to_ns(mic, mic->io.appl_ptr + mic->io.period_size);
    uint64_t latest_ns = now_ns() + LONGEST_WAIT_NS;
    uint64_t wake_ns = full_ns > latest_ns || mic->control->mode == MODE_STALLED ? latest_ns : full_ns;
    struct itimerspec timer = {.it_value = {.tv_sec = (time_t)(wake_ns / NS_PER_S),
                                            .tv_nsec = (long)(wake_ns % NS_PER_S)}};
    return timerfd_settime(mic->io.poll_fd, TFD_TIMER_ABSTIME, &timer, NULL) < 0 ? -errno : 0;
}

static int mic_prepare(snd_pcm_ioplug_t *io)
{
    struct microphone *mic = io->private_data;

    mic->pointer = 0;
    mic->voice_from = 0;
    if (is_gone(mic)) {
        /* Left in the state XRUN, PortAudio would prepare again for ever without a pause. */
        snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
        return -ENODEV;
    }
    return 0;
}

static int mic_start(snd_pcm_ioplug_t *io)
{
    struct microphone *mic = io->private_data;

    if (is_gone(mic))
        return -ENODEV;
    mic->started_ns = now_ns();
    mic->pace_hz = wanted_pace_hz(mic);
    mic->stalled = false;
    mic->control->starts++;
    return wake_when_a_period_is_full(mic);
}

static int mic_stop(snd_pcm_ioplug_t *io)
{
    struct microphone *mic = io->private_data;
    struct itimerspec never = {0};

    timerfd_settime(mic->io.poll_fd, 0, &never, NULL);
    return 0;
}

static snd_pcm_sframes_t mic_pointer(snd_pcm_ioplug_t *io)
{
    struct microphone *mic = io->private_data;

    if (mic->control->mode == MODE_UNPLUGGED || io->state == SND_PCM_STATE_DISCONNECTED)
        return (snd_pcm_sframes_t)mic->pointer;
    if (mic->control->mode == MODE_UNPLUGGED_AS_OVERRUN)
        return -EPIPE;
    if (overrun_is_due(mic)) {
        mic->control->overruns_done = mic->control->overruns_asked;
        return -EPIPE;
    }
    snd_pcm_uframes_t produced = position(mic);
    if (produced > io->appl_ptr && produced - io->appl_ptr > io->buffer_size)
        return -EPIPE;
    mic->pointer = produced % io->buffer_size;
    return (snd_pcm_sframes_t)mic->pointer;
}

static void forget_voice(struct microphone *mic)
{
    if (mic->voice)
        munmap((void *)mic->voice, mic->voice_bytes);
    mic->voice = NULL;
    mic->voice_bytes = 0;
}

/* Begins what the driver asked to be said, at the position that is being produced now. */
static void take_new_voice(struct microphone *mic)
{
    struct stat file;
    uint32_t asked = mic->control->said_asked;
    int fd;

    if (asked == mic->control->said_begun)
        return;
    forget_voice(mic);
    fd = open(mic->control->path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (fstat(fd, &file) == 0 && file.st_size >= (off_t)sizeof(int16_t)) {
            void *sound = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
            if (sound != MAP_FAILED) {
                mic->voice = sound;
                mic->voice_bytes = (size_t)file.st_size;
            }
        }
        close(fd);
    }
    mic->voice_from = position(mic);
    if (mic->voice_from < mic->io.appl_ptr)
        mic->voice_from = mic->io.appl_ptr;
    mic->control->said_begun = asked;
    if (!mic->voice)
        mic->control->said_done = asked; /* nothing to say */
}

static int32_t noise_sample(struct microphone *mic)
{
    uint32_t peak = mic->control->noise;

    if (peak == 0)
        return 0;
    mic->noise_state = mic->noise_state * 1664525u + 1013904223u;
    return (int32_t)((mic->noise_state >> 8) % (2 * peak + 1)) - (int32_t)peak;
}

static int16_t clipped_sum(int32_t sum)
{
    return (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

static int16_t sample_at(struct microphone *mic, unsigned channel, uint64_t at)
{
    int32_t sample;

    if (mic->control->dead_channels & (1u << channel))
        return 0;
    if (mic->control->mode == MODE_MUTED)
        return clipped_sum(mic->control->offset);
    sample = noise_sample(mic) + mic->control->offset;
    if (mic->voice && channel == mic->voice_channel && at >= mic->voice_from) {
        uint64_t index = at - mic->voice_from;
        if (index < mic->voice_bytes / sizeof(int16_t))
            sample += mic->voice[index];
    }
    return clipped_sum(sample);
}

static snd_pcm_sframes_t mic_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                      snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
    struct microphone *mic = io->private_data;

    if (is_gone(mic))
        return -ENODEV;
    take_new_voice(mic);
    for (snd_pcm_uframes_t i = 0; i < size; i++) {
        for (unsigned channel = 0; channel < mic->channels; channel++) {
            const snd_pcm_channel_area_t *area = &areas[channel];
            char *target = (char *)area->addr + (area->first + area->step * (offset + i)) / 8;
            *(int16_t *)target = sample_at(mic, channel, io->appl_ptr + i);
        }
    }
    mic->control->frames = io->appl_ptr + size;
    if (mic->voice && io->appl_ptr + size >= mic->voice_from + mic->voice_bytes / sizeof(int16_t)) {
        forget_voice(mic);
        mic->control->said_done = mic->control->said_begun;
    }
    return (snd_pcm_sframes_t)size;
}

static int mic_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *descriptors, unsigned count,
                            unsigned short *revents)
{
    struct microphone *mic = io->private_data;
    uint64_t expirations;

    (void)count;
    *revents = 0;
    if (mic->control->mode == MODE_UNPLUGGED_AS_OVERRUN && io->state != SND_PCM_STATE_DISCONNECTED) {
        *revents = POLLERR;
    } else if (is_gone(mic)) {
        snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
        *revents = POLLERR | POLLNVAL;
    } else if (overrun_is_due(mic)) {
        *revents = POLLIN | POLLERR;
    } else if (position(mic) - io->appl_ptr >= io->period_size) {
        *revents = POLLIN; /* the timer stays expired until the period is taken */
    } else {
        if ((descriptors->revents & POLLIN) && read(io->poll_fd, &expirations, sizeof expirations) < 0)
            expirations = 0;
        return wake_when_a_period_is_full(mic);
    }
    return 0;
}

static int mic_close(snd_pcm_ioplug_t *io)
{
    struct microphone *mic = io->private_data;

    close(io->poll_fd);
    forget_voice(mic);
    munmap(mic->control, CONTROL_BYTES);
    free(mic);
    return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .start = mic_start,
    .stop = mic_stop,
    .pointer = mic_pointer,
    .transfer = mic_transfer,
    .prepare = mic_prepare,
    .poll_revents = mic_poll_revents,
    .close = mic_close,
};

static int set_abilities(struct microphone *mic)
{
    static const unsigned access[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
    static const unsigned format[] = {SND_PCM_FORMAT_S16};
    const unsigned frame_bytes = mic->channels * (unsigned)sizeof(int16_t);
    snd_pcm_ioplug_t *io = &mic->io;
    int error;

    if ((error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access)) < 0
        || (error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format)) < 0
        || (error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, mic->channels, mic->channels)) < 0
        || (error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, mic->rate_hz, mic->rate_hz)) < 0
        || (error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 32 * frame_bytes, 16384 * frame_bytes)) < 0
        || (error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 128 * frame_bytes, 131072 * frame_bytes)) < 0)
        return error;
    return snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 64);
}

static struct control *map_control(const char *path)
{
    struct stat file;
    struct control *control = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &file) == 0 && file.st_size >= CONTROL_BYTES)
        control = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (control == MAP_FAILED)
        return NULL;
    if (control->magic != CONTROL_MAGIC || control->mode == MODE_UNPLUGGED
        || control->mode == MODE_UNPLUGGED_AS_OVERRUN) {
        munmap(control, CONTROL_BYTES);
        return NULL;
    }
    return control;
}

SND_PCM_PLUGIN_DEFINE_FUNC(simmic)
{
    snd_config_iterator_t i, next;
    const char *path = NULL;
    long rate_hz = 16000, channels = 1, voice_channel = 1;
    struct microphone *mic;
    int error;

    (void)root;
    snd_config_for_each(i, next, conf) {
        snd_config_t *entry = snd_config_iterator_entry(i);
        const char *key;
        if (snd_config_get_id(entry, &key) < 0)
            continue;
        if (!strcmp(key, "control"))
            snd_config_get_string(entry, &path);
        else if (!strcmp(key, "rate"))
            snd_config_get_integer(entry, &rate_hz);
        else if (!strcmp(key, "channels"))
            snd_config_get_integer(entry, &channels);
        else if (!strcmp(key, "voice_channel"))
            snd_config_get_integer(entry, &voice_channel);
    }
    if (!path || rate_hz < STEPS_PER_S || rate_hz > HIGHEST_RATE_HZ || channels < 1 || channels > 8 || voice_channel < 1
        || voice_channel > channels) {
        SNDERR("simmic: control, rate, channels or voice_channel is missing or out of range");
        return -EINVAL;
    }
    if (stream != SND_PCM_STREAM_CAPTURE)
        return -ENOENT;
    if (!(mic = calloc(1, sizeof *mic)))
        return -ENOMEM;
    if (!(mic->control = map_control(path))) {
        free(mic);
        return -ENOENT;
    }
    if (mic->control->rate_hz >= STEPS_PER_S && mic->control->rate_hz <= HIGHEST_RATE_HZ)
        rate_hz = (long)mic->control->rate_hz;
    mic->rate_hz = (unsigned)rate_hz;
    mic->pace_hz = wanted_pace_hz(mic);
    mic->channels = (unsigned)channels;
    mic->voice_channel = (unsigned)voice_channel - 1;
    mic->io = (snd_pcm_ioplug_t){.version = SND_PCM_IOPLUG_VERSION,
                                 .name = "Simulated USB microphone",
                                 .flags = SND_PCM_IOPLUG_FLAG_LISTED | SND_PCM_IOPLUG_FLAG_MONOTONIC,
                                 .poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                                 .poll_events = POLLIN,
                                 .callback = &callbacks,
                                 .private_data = mic};
    error = snd_pcm_ioplug_create(&mic->io, name, stream, mode);
    if (error < 0) {
        close(mic->io.poll_fd);
        munmap(mic->control, CONTROL_BYTES);
        free(mic);
        return error;
    }
    error = set_abilities(mic);
    if (error < 0) {
        snd_pcm_ioplug_delete(&mic->io);
        return error;
    }
    mic->control->opens++;
    *pcmp = mic->io.pcm;
    return 0;
}

SND_PCM_PLUGIN_SYMBOL(simmic);
