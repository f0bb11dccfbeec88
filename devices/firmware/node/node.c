/*
 * Firmware of a sensor node: reads a temperature over I2C and prints it, one
 * JSON object a line with a CRC; takes commands on the same UART and drives four
 * outputs. It is what the virtual bench runs on an emulated board, and it would
 * run on the board itself.
 *
 * Board: Stellaris LM3S6965 (Cortex-M3), qemu-system-arm -M lm3s6965evb.
 * On its I2C bus: TMP105 at 0x48 (TI SBOS648), PCA9552 at 0x60 (NXP PCA9552).
 *
 * Line out:   {"id":"525400000007","seq":7,"us":700076,"t":21.5000,"out":3,"cmd":12,"bad":0,"boot":1}*B1F2
 *   id    serial number burnt into the part (USER registers)
 *   seq   lines since the start      us    clock of the node in microseconds
 *   t     degrees Celsius, null when the sensor does not answer
 *   out   the outputs as their chip holds them, bit 0 is output 0; null likewise
 *   cmd   number of the last command that was carried out
 *   bad   lines that came in and were no command: CRC, verb or argument
 *   boot  starts since power came
 * Command in: VERB [ARG [ARG]] NUMBER*HHHH, HHHH the CRC-16/CCITT-FALSE of what is
 * before the asterisk. A command that was carried out is answered at once by a line.
 *   rate MS      a line every 10 … 60000 ms
 *   out N V      output N (0 … 3) off (0) or on (1)
 *   dog MS       reset when nothing was done for twice 500 … 60000 ms; 0 ends the watch
 *   ping         nothing but the answer
 *   hang         stop doing anything, as broken firmware does
 *   reset        start anew
 */
#include "lm3s6965.h"

/* The first bytes of the memory, which nobody clears: they outlive a reset, not a loss of power. */
extern struct {
  uint32_t magic, boots, period;
} kept;
enum { KEPT = 0x600DB007 };

static volatile uint8_t ring[256]; /* bytes received; the index wraps by its type */
static volatile uint8_t ring_in, ring_out;
static volatile uint32_t ticks_due; /* timer interrupts not yet seen by the loop */

static uint32_t seq, last_command, bad_lines;
static uint64_t next_line;    /* when it is due, by the clock, in microseconds */
static uint32_t half_a_wake; /* half the time between two timer interrupts, in microseconds */

static void reset(void) {
  SCB_AIRCR = 0x05FA0004;
  for (;;) {
  }
}

/* --- clock: a free-running 24-bit counter, unfolded at least every 0.5 s --- */

static uint64_t elapsed;
static uint32_t last_count;

static uint64_t microseconds(void) {
  uint32_t now = SYST_CVR;
  elapsed += (last_count - now) & SYST_MASK; /* it counts down */
  last_count = now;
  return elapsed * 2 / 25; /* 12.5 ticks a microsecond */
}

/* every makes a line every ms milliseconds. The timer only wakes the node, at
 * least every half second, so that the counter above, which is round in 1.34 s,
 * loses nothing; the clock says when a line is due. An interrupt that is served
 * with the next one, as the emulator does in fast-forward, so makes a line late and
 * loses none. */
static void every(uint32_t ms) {
  uint32_t wakes_a_line = (ms + 499) / 500;
  kept.period = ms;
  half_a_wake = ms * 500 / wakes_a_line;
  next_line = microseconds() + (uint64_t)ms * 1000;
  TIMER_CTL = 0;
  TIMER_TAILR = ms * TICKS_PER_MS / wakes_a_line - 1;
  TIMER_CTL = 1;
}

/* due reports whether it is time for a line: nearer to this interrupt than to the
 * next. A node that was held up for longer than a period skips lines. */
static int due(void) {
  uint64_t now = microseconds() + half_a_wake;
  if (now < next_line)
    return 0;
  do
    next_line += (uint64_t)kept.period * 1000;
  while (next_line <= now);
  return 1;
}

/* --- I2C: polled, each transfer its own START and STOP --- */

static int transfer(uint32_t command) {
  I2C_MCS = command;
  while (I2C_MCS & MCS_BUSY) {
  }
  return I2C_MCS & MCS_ERROR ? -1 : 0;
}

static int i2c_write(uint32_t address, const uint8_t *bytes, int n) {
  I2C_MSA = address << 1;
  for (int i = 0; i < n; i++) {
    I2C_MDR = bytes[i];
    if (transfer(MCS_RUN | (i == 0 ? MCS_START : 0) | (i == n - 1 ? MCS_STOP : 0)))
      return -1;
  }
  return 0;
}

static int i2c_read(uint32_t address, uint8_t from, uint8_t *bytes, int n) {
  if (i2c_write(address, &from, 1))
    return -1;
  I2C_MSA = address << 1 | 1;
  for (int i = 0; i < n; i++) {
    if (transfer(MCS_RUN | (i == 0 ? MCS_START : 0) | (i == n - 1 ? MCS_STOP : MCS_ACK)))
      return -1;
    bytes[i] = (uint8_t)I2C_MDR;
  }
  return 0;
}

/* read_outputs returns the outputs as bits, -1 when the chip does not answer. An
 * output is on when its two bits are 00 (pin low), off when they are 01. */
static int read_outputs(void) {
  uint8_t selector;
  if (i2c_read(PCA9552, PCA9552_LS0, &selector, 1))
    return -1;
  int on = 0;
  for (int i = 0; i < 4; i++)
    on |= (selector >> 2 * i & 3) == 0 ? 1 << i : 0;
  return on;
}

static int set_output(uint32_t n, uint32_t on) {
  uint8_t selector;
  if (n > 3 || on > 1 || i2c_read(PCA9552, PCA9552_LS0, &selector, 1))
    return -1;
  selector = (uint8_t)((selector & ~(3 << 2 * n)) | (on ? 0 : 1) << 2 * n);
  uint8_t message[2] = {PCA9552_LS0, selector};
  return i2c_write(PCA9552, message, 2);
}

/* --- lines out --- */

static char line[160];
static int length;

static void text(const char *s) {
  while (*s)
    line[length++] = *s++;
}

static void number(uint64_t n) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = (char)('0' + n % 10);
    n /= 10;
  } while (n);
  while (count)
    line[length++] = digits[--count];
}

static void hex(uint32_t n, int digits) {
  while (digits--)
    line[length++] = "0123456789ABCDEF"[n >> 4 * digits & 15];
}

/* temperature prints what the sensor says: 12 bits, sixteenths of a degree. */
static void temperature(void) {
  uint8_t raw[2];
  if (i2c_read(TMP105, 0, raw, 2)) {
    text("null");
    return;
  }
  int32_t tenthousandths = (int16_t)(raw[0] << 8 | raw[1]) * 625 / 16; /* of a degree; exact */
  if (tenthousandths < 0) {
    text("-");
    tenthousandths = -tenthousandths;
  }
  number((uint32_t)tenthousandths / 10000);
  text(".");
  for (uint32_t unit = 1000; unit; unit /= 10)
    line[length++] = (char)('0' + (uint32_t)tenthousandths / unit % 10);
}

static uint16_t crc16(const char *p, int n) {
  uint16_t crc = 0xFFFF;
  while (n--) {
    crc ^= (uint16_t)((uint8_t)*p++ << 8);
    for (int i = 0; i < 8; i++)
      crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
  }
  return crc;
}

static void report(void) {
  length = 0;
  text("{\"id\":\"");
  for (int i = 0; i < 6; i++)
    hex((i < 3 ? USER0 >> 8 * i : USER1 >> 8 * (i - 3)) & 0xFF, 2);
  text("\",\"seq\":");
  number(++seq);
  text(",\"us\":");
  number(microseconds());
  text(",\"t\":");
  temperature();
  text(",\"out\":");
  int outputs = read_outputs();
  if (outputs < 0)
    text("null");
  else
    number((uint32_t)outputs);
  text(",\"cmd\":");
  number(last_command);
  text(",\"bad\":");
  number(bad_lines);
  text(",\"boot\":");
  number(kept.boots);
  text("}");
  uint16_t crc = crc16(line, length);
  text("*");
  hex(crc, 4);
  text("\r\n");
  for (int i = 0; i < length; i++) {
    while (UART_FR & FR_TXFF) {
    }
    UART_DR = (uint8_t)line[i];
  }
}

/* --- commands in --- */

static char command[48];
static int command_length; /* -1 while the rest of a line that is too long passes by */

/* take reads a decimal number of at most nine digits, -1 when there is none. */
static int32_t take(const char **p) {
  int32_t n = -1;
  for (int digits = 0; **p >= '0' && **p <= '9' && digits < 9; digits++)
    n = (n < 0 ? 0 : n * 10) + *(*p)++ - '0';
  if (**p == ' ')
    (*p)++;
  return n;
}

/* verb reports whether a command begins with the word, and passes it. */
static int verb(const char **p, const char *word) {
  const char *at = *p;
  while (*word && *at == *word) {
    at++;
    word++;
  }
  if (*word || *at != ' ')
    return 0;
  *p = at + 1;
  return 1;
}

/* whole cuts off the CRC and reports whether it is right. */
static int whole(void) {
  int at = command_length - 5;
  if (at < 1 || command[at] != '*')
    return 0;
  uint16_t want = 0;
  for (int i = at + 1; i < command_length; i++) {
    char c = command[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0)
      return 0;
    want = (uint16_t)(want << 4 | digit);
  }
  command[at] = 0;
  return crc16(command, at) == want;
}

enum act { NOTHING, ANSWER, HANG, RESET };

static void watch(uint32_t ms) {
  WDT_CTL = 0;
  if (ms) {
    WDT_LOAD = ms * TICKS_PER_MS;
    WDT_CTL = 3; /* an interrupt at the first timeout, a reset at the second */
  }
}

/* carry_out does what a command says, in one piece or not at all. */
static enum act carry_out(void) {
  const char *p = command;
  int32_t a = 0, b = 0;
  enum { RATE, OUT, DOG, PING, HALT, START } what;
  if (verb(&p, "rate"))
    what = RATE, a = take(&p);
  else if (verb(&p, "out"))
    what = OUT, a = take(&p), b = take(&p);
  else if (verb(&p, "dog"))
    what = DOG, a = take(&p);
  else if (verb(&p, "ping"))
    what = PING;
  else if (verb(&p, "hang"))
    what = HALT;
  else if (verb(&p, "reset"))
    what = START;
  else
    return NOTHING;
  int32_t n = take(&p);
  if (a < 0 || b < 0 || n < 0 || *p)
    return NOTHING;
  switch (what) {
  case RATE:
    if (a < 10 || a > 60000)
      return NOTHING;
    every((uint32_t)a);
    break;
  case OUT:
    if (set_output((uint32_t)a, (uint32_t)b))
      return NOTHING;
    break;
  case DOG:
    if (a > 60000 || (a > 0 && a < 500)) /* the timer may leave the loop asleep for 500 ms */
      return NOTHING;
    watch((uint32_t)a);
    break;
  case PING:
    break;
  case HALT:
    return HANG;
  case START:
    return RESET;
  }
  last_command = (uint32_t)n;
  return ANSWER;
}

static void act(void) {
  switch (whole() ? carry_out() : NOTHING) {
  case NOTHING:
    bad_lines++;
    break;
  case ANSWER:
    report();
    break;
  case HANG:
    __asm volatile("cpsid i");
    for (;;) {
    }
  case RESET:
    reset();
  }
}

/* received takes one byte of a command. A line too long is one bad line. */
static void received(char c) {
  if (c == '\n') {
    if (command_length < 0)
      bad_lines++;
    else if (command_length > 0) /* an empty line ends what a port that echoed may have sent */
      act();
    command_length = 0;
  } else if (c != '\r' && command_length >= 0) {
    if (command_length == sizeof command - 1)
      command_length = -1;
    else
      command[command_length++] = c;
  }
}

/* --- interrupts and start --- */

static void on_uart(void) {
  UART_ICR = IM_RX | IM_RT;
  while (!(UART_FR & FR_RXFE)) {
    uint8_t c = (uint8_t)UART_DR;
    if ((uint8_t)(ring_in + 1) != ring_out) /* else it is lost, as in any full buffer; the CRC finds it */
      ring[ring_in++] = c;
  }
}

static void on_timer(void) {
  TIMER_ICR = 1;
  ticks_due++;
}

static void prepare(void) {
  RCGC0 |= 1 << 3;                         /* watchdog */
  RCGC1 |= 1 << 0 | 1 << 12 | 1 << 16;     /* UART0, I2C0, timer 0 */
  RCGC2 |= 1 << 0 | 1 << 1;                /* ports A and B */
  for (volatile int i = 0; i < 8; i++) {   /* a few clocks until they answer (5.4) */
  }
  GPIO_AFSEL(PORTA) |= 0x03; /* PA0, PA1: UART0 */
  GPIO_DEN(PORTA) |= 0x03;
  GPIO_AFSEL(PORTB) |= 0x0C; /* PB2, PB3: I2C0 */
  GPIO_ODR(PORTB) |= 0x0C;
  GPIO_DEN(PORTB) |= 0x0C;

  UART_CTL = 0;
  UART_IBRD = 6; /* 12.5 MHz / (16 · 115200) = 6 + 50/64 */
  UART_FBRD = 50;
  UART_LCRH = 0x70; /* 8N1, FIFOs */
  UART_IM = IM_RX | IM_RT;
  UART_CTL = 0x301;

  I2C_MCR = 0x10;
  I2C_MTPR = 6; /* 100 kbit/s at 12.5 MHz, less a little */
  const uint8_t fine[2] = {1, 0x60}; /* TMP105: 12 bits */
  i2c_write(TMP105, fine, 2);

  SYST_RVR = SYST_MASK;
  SYST_CVR = 0;
  SYST_CSR = 5;
  last_count = SYST_CVR;

  TIMER_CTL = 0;
  TIMER_CFG = 0;
  TIMER_TAMR = 2; /* periodic */
  TIMER_IMR = 1;
  NVIC_ISER0 = 1u << IRQ_UART0 | 1u << IRQ_TIMER0A;
}

extern uint32_t __data_load[], __data_start[], __data_end[], __bss_start[], __bss_end[], __stack[];

void start(void) {
  const uint32_t *from = __data_load;
  for (volatile uint32_t *to = __data_start; to != __data_end;)
    *to++ = *from++;
  for (volatile uint32_t *to = __bss_start; to != __bss_end;)
    *to++ = 0;
  if (kept.magic != KEPT) {
    kept.magic = KEPT;
    kept.boots = 0;
    kept.period = 1000;
  }
  kept.boots++;
  prepare();
  every(kept.period);
  report();
  for (;;) {
    WDT_ICR = 1;
    while (ring_out != ring_in)
      received((char)ring[ring_out++]);
    if (ticks_due) {
      ticks_due = 0;
      if (due())
        report();
    }
    __asm volatile("cpsid i"); /* what comes from here on wakes wfi, though it is not served */
    if (ring_out == ring_in && !ticks_due)
      __asm volatile("wfi");
    __asm volatile("cpsie i");
  }
}

/* Vectors of the core and of interrupts 0 to 19 (data sheet 2.5.4). A fault resets. */
__attribute__((section(".vectors"), used)) static void (*const vectors[16 + 20])(void) = {
    (void (*)(void))__stack, start, reset, reset, reset, reset, reset, 0, 0, 0, 0, reset, reset, 0, reset, reset,
    [16 + IRQ_UART0] = on_uart,
    [16 + IRQ_TIMER0A] = on_timer,
};
