"""Simulation models, in Verilog, of the ECP5 blocks that Yosys has as black boxes only.

For netlists after :func:`.registers.pack_registers`; the rest of the cells are in Yosys' own
``+/lattice/cells_sim_ecp5.v``. What these models do not do, they refuse.
"""

__all__ = ["ECP5_MODELS"]


def _ports(name, width):
    return ", ".join(f"{name}{i}" for i in reversed(range(width)))


_MULTIPLIER = f"""
module MULT18X18D(
    input {_ports("A", 18)},
    input {_ports("B", 18)},
    input {_ports("C", 18)},
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    input CLK3, CLK2, CLK1, CLK0, CE3, CE2, CE1, CE0, RST3, RST2, RST1, RST0,
    output {_ports("P", 36)}
);
    parameter REG_INPUTA_CLK = "NONE";
    parameter REG_INPUTA_CE = "CE0";
    parameter REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE";
    parameter REG_INPUTB_CE = "CE0";
    parameter REG_INPUTB_RST = "RST0";
    parameter REG_OUTPUT_CLK = "NONE";
    parameter REG_OUTPUT_CE = "CE0";
    parameter REG_OUTPUT_RST = "RST0";
    parameter CLK0_DIV = "ENABLED";
    parameter GSR = "ENABLED";
    parameter RESETMODE = "SYNC";

    wire [17:0] a = {{{_ports("A", 18)}}};
    wire [17:0] b = {{{_ports("B", 18)}}};
    reg [17:0] a_register = 0, b_register = 0;
    reg [35:0] p_register = 0;
    wire [17:0] a_used = REG_INPUTA_CLK == "CLK0" ? a_register : a;
    wire [17:0] b_used = REG_INPUTB_CLK == "CLK0" ? b_register : b;
    wire signed [18:0] a_wide = {{SIGNEDA & a_used[17], a_used}};
    wire signed [18:0] b_wide = {{SIGNEDB & b_used[17], b_used}};
    wire signed [37:0] product = a_wide * b_wide;
    always @(posedge CLK0) begin
        a_register <= RST0 ? 18'd0 : CE0 ? a : a_register;
        b_register <= RST0 ? 18'd0 : CE0 ? b : b_register;
        p_register <= RST0 ? 36'd0 : CE0 ? product[35:0] : p_register;
    end
    assign {{{_ports("P", 36)}}} = REG_OUTPUT_CLK == "CLK0" ? p_register : product[35:0];
endmodule
"""

_INITIAL = "\n".join(f"    parameter INITVAL_{i:02X} = 320'd0;" for i in range(64))
_LOAD = "\n".join(
    f"        rows[{8 * i + k}] = "
    f"{{INITVAL_{i:02X}[{40 * k + 20} +: 18], INITVAL_{i:02X}[{40 * k} +: 18]}};"
    for i in range(64)
    for k in range(8)
)


# A row is four words of 9 bits. Addresses count data bits, of which a word of 9 has 8 for ports
# narrower than itself.
def _side(port, side):
    """What a port sees: its row, where its word lies there, and the word."""
    width, address = f"DATA_WIDTH_{port}", f"address_{side}"
    return f"""
    wire [35:0] old_{side} = rows[{address}[13:5]];
    wire [5:0] shift_{side} =
        {width} == 36 ? 6'd0 : {width} == 18 ? {address}[4] * 6'd18 :
        {address}[4:3] * 6'd9 + ({width} == 9 ? 6'd0 : {width} == 4 ? {address}[2] * 6'd4 :
        {width} == 2 ? {address}[2:1] * 6'd2 : {{3'd0, {address}[2:0]}});
    wire [35:0] whole_{side} = {width} == 36 ? ~36'd0 : (36'd1 << {width}) - 36'd1;
    wire [35:0] mask_{side} = {width} == 18 ?
        {{18'd0, {{9{{{address}[1]}}}}, {{9{{{address}[0]}}}}}} : whole_{side};
    wire [35:0] word_{side} = old_{side} >> shift_{side} & whole_{side};
"""


_MEMORY = f"""
module DP16KD(
    input {_ports("DIA", 18)},
    input {_ports("ADA", 14)},
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output {_ports("DOA", 18)},
    input {_ports("DIB", 18)},
    input {_ports("ADB", 14)},
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output {_ports("DOB", 18)}
);
    parameter DATA_WIDTH_A = 18;
    parameter DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG";
    parameter REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC";
    parameter ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000";
    parameter CSDECODE_B = "0b000";
    parameter WRITEMODE_A = "NORMAL";
    parameter WRITEMODE_B = "NORMAL";
    parameter CLKAMUX = "CLKA";
    parameter CLKBMUX = "CLKB";
    parameter GSR = "ENABLED";
    parameter WID = 0;
    parameter INIT_DATA = "STATIC";
{_INITIAL}
    localparam WIDE = DATA_WIDTH_A == 36;  // one port to write, one to read

    reg [35:0] rows [0:511];
    initial begin
{_LOAD}
    end

    wire [13:0] address_a = {{{_ports("ADA", 14)}}};
    wire [13:0] address_b = {{{_ports("ADB", 14)}}};
    wire [17:0] data_a = {{{_ports("DIA", 18)}}};
    wire [17:0] data_b = {{{_ports("DIB", 18)}}};

{_side("A", "a")}
{_side("B", "b")}
    wire [35:0] lanes = {{{{9{{address_a[3]}}}}, {{9{{address_a[2]}}}},
                         {{9{{address_a[1]}}}}, {{9{{address_a[0]}}}}}};
    reg [35:0] a_read = 0, b_read = 0, a_register = 0, b_register = 0;
    always @(posedge CLKA) begin
        if (CEA && WEA)
            rows[address_a[13:5]] <= WIDE ?
                old_a & ~lanes | {{data_b, data_a}} & lanes :
                old_a & ~(mask_a << shift_a) | ({{18'd0, data_a}} & mask_a) << shift_a;
        if (CEA && !WIDE && (!WEA || WRITEMODE_A == "READBEFOREWRITE")) a_read <= word_a;
        if (OCEA) a_register <= a_read;
        if (RSTA) begin a_read <= 0; a_register <= 0; end
    end
    always @(posedge CLKB) begin
        if (CEB && WEB && !WIDE)
            rows[address_b[13:5]] <=
                old_b & ~(mask_b << shift_b) | ({{18'd0, data_b}} & mask_b) << shift_b;
        if (CEB && (!WEB || WRITEMODE_B == "READBEFOREWRITE")) b_read <= word_b;
        if (OCEB) b_register <= b_read;
        if (RSTB) begin b_read <= 0; b_register <= 0; end
    end
    wire [35:0] a_given = REGMODE_A == "OUTREG" ? a_register : a_read;
    wire [35:0] b_given = REGMODE_B == "OUTREG" ? b_register : b_read;
    // The wide port reads its low half on side A where it is 36 bits, else on side B's low bits.
    assign {{{_ports("DOA", 18)}}} = WIDE ? b_given[17:0] : a_given[17:0];
    assign {{{_ports("DOB", 18)}}} = WIDE && DATA_WIDTH_B == 36 ? b_given[35:18] : b_given[17:0];
endmodule
"""

ECP5_MODELS = _MULTIPLIER + _MEMORY
