/*
 * What the node needs of the LM3S6965 and of the Cortex-M3: registers and bits.
 * LM3S6965 data sheet: TI SPMS037; Cortex-M3: ARM DDI 0337.
 */
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))

enum { TICKS_PER_MS = 12500 }; /* reset value of RCC: 200 MHz / 16 */

/* System control (data sheet 5.5). */
#define RCGC0 REG(0x400FE100)
#define RCGC1 REG(0x400FE104)
#define RCGC2 REG(0x400FE108)
#define USER0 REG(0x400FE1E0)
#define USER1 REG(0x400FE1E4)
/* GPIO ports A and B (8.5). */
#define PORTA 0x40004000u
#define PORTB 0x40005000u
#define GPIO_AFSEL(port) REG((port) + 0x420)
#define GPIO_ODR(port) REG((port) + 0x50C)
#define GPIO_DEN(port) REG((port) + 0x51C)
/* UART0 (12.6). */
#define UART_DR REG(0x4000C000)
#define UART_FR REG(0x4000C018)
#define UART_IBRD REG(0x4000C024)
#define UART_FBRD REG(0x4000C028)
#define UART_LCRH REG(0x4000C02C)
#define UART_CTL REG(0x4000C030)
#define UART_IM REG(0x4000C038)
#define UART_ICR REG(0x4000C044)
enum { FR_RXFE = 1 << 4, FR_TXFF = 1 << 5, IM_RX = 1 << 4, IM_RT = 1 << 6 };
/* Timer 0 as one of 32 bits (9.6). */
#define TIMER_CFG REG(0x40030000)
#define TIMER_TAMR REG(0x40030004)
#define TIMER_CTL REG(0x4003000C)
#define TIMER_IMR REG(0x40030018)
#define TIMER_ICR REG(0x40030024)
#define TIMER_TAILR REG(0x40030028)
/* I2C master 0 (14.7). */
#define I2C_MSA REG(0x40020000)
#define I2C_MCS REG(0x40020004)
#define I2C_MDR REG(0x40020008)
#define I2C_MTPR REG(0x4002000C)
#define I2C_MCR REG(0x40020020)
enum { MCS_RUN = 1, MCS_START = 2, MCS_STOP = 4, MCS_ACK = 8, MCS_BUSY = 1, MCS_ERROR = 2 };
/* Watchdog (10.4). */
#define WDT_LOAD REG(0x40000000)
#define WDT_CTL REG(0x40000008)
#define WDT_ICR REG(0x4000000C)
/* Cortex-M3: SysTick, NVIC, reset (DDI 0337 chapter 8). */
#define SYST_CSR REG(0xE000E010)
#define SYST_RVR REG(0xE000E014)
#define SYST_CVR REG(0xE000E018)
#define NVIC_ISER0 REG(0xE000E100)
#define SCB_AIRCR REG(0xE000ED0C)
enum { IRQ_UART0 = 5, IRQ_TIMER0A = 19, SYST_MASK = 0xFFFFFF };

enum { TMP105 = 0x48, PCA9552 = 0x60, PCA9552_LS0 = 6 };
