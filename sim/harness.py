"""A Verilog harness that feeds a design from memories and captures what it does into memories.

Icarus runs it for ``simulate``, and it comes with every design's cocotb testbench: the test only
starts it and reads the files it has written, so a simulator spends its time on the design.
"""

from .stimulus import RESET_CYCLES, Ports
from .vectors import EXTRA, HUNG, OK, REFUSED, WITHDRAWN

__all__ = ["bench", "depth", "harness"]


def depth(n: int) -> int:
    """Words of a memory that holds ``n``: a power of two, so that one build fits many stimuli."""
    return max(2, 1 << (n - 1).bit_length())


def harness(
    ports: Ports, inputs: int, outputs: int, transactions: int = 0, *, top: str = "top"
) -> str:
    """Verilog text of module ``harness`` around the module ``top``.

    ``start`` high at a rising clock edge loads the files that ``vectors.write_stimulus`` makes,
    from the folder in which the simulator runs, and starts a run from reset; ``done`` goes high
    once ``vectors.read_capture`` can read the result.

    Parameters
    ----------
    ports : Ports
        Widths of the design's data ports.
    inputs, outputs : int
        Beats that the memories hold.
    transactions : int
        Reads and writes of registers that they hold, if the design has registers.
    top : str
        Name of the design's module.
    """
    names = {
        "INPUT_BITS": ports.input_bits,
        "OUTPUT_BITS": ports.output_bits,
        "INPUTS": depth(inputs),
        "OUTPUTS": depth(outputs),
        "RESET": RESET_CYCLES,
        "OK": OK,
        "EXTRA": EXTRA,
        "HUNG": HUNG,
        "WITHDRAWN": WITHDRAWN,
        "REFUSED": REFUSED,
    }
    if ports.address_bits:
        names |= {"TRANSACTIONS": depth(transactions), "ADDRESS_BITS": ports.address_bits}
    parameters = "".join(f"    localparam {name} = {value};\n" for name, value in names.items())
    text = _HARNESS.replace("$PARAMETERS", parameters).replace("$TOP", top)
    for place, registers in _REGISTERS.items():
        text = text.replace(
            f"{place}\n", registers if ports.address_bits else _NO_REGISTERS.get(place, "")
        )
    return text


def bench() -> str:
    """Verilog text of module ``bench``: one run of the harness; ``+vcd=FILE`` dumps waves."""
    return _BENCH


_HARNESS = r"""// Feeds a design from memories and captures what it does, and in which cycle.
module harness (
    input wire clk /* verilator public_flat_rw */,
    input wire start /* verilator public_flat_rw */,
    output reg done /* verilator public_flat_rw */
);
$PARAMETERS
    // Input beats, output beats, idle cycles, limit, transactions.
    reg [63:0] settings [0:4];
    reg [INPUT_BITS-1:0] in_data [0:INPUTS-1];
    reg [63:0] in_gap [0:INPUTS-1];         // gap in cycles, last
    reg [63:0] in_cycle [0:INPUTS-1];
    reg [63:0] out_stall [0:OUTPUTS-1];
    reg [OUTPUT_BITS-1:0] out_data [0:OUTPUTS-1];
    reg [63:0] out_mark [0:OUTPUTS-1];      // cycle, user, last
    // Status, cycle, beats accepted, beats delivered, transactions answered.
    reg [63:0] result [0:4];

    reg [63:0] n, m, idle, limit, k, a;
    reg [63:0] i, j, cycle, gap, stall, quiet, rest;
    reg [31:0] resets;
    reg running, ended;
    reg held, held_last, held_user;
    reg [OUTPUT_BITS-1:0] held_data;
    initial begin
        running = 0;
        ended = 0;
        done = 0;
        resets = 0;
    end

    wire active = running && resets == 0;
    wire rst = !active;
    wire pending;
    wire s_valid = active && i != n && gap == 0 && !pending;
    wire s_ready;
    wire m_valid, m_last, m_user;
    wire [OUTPUT_BITS-1:0] m_data;
    wire m_ready = active && stall == 0;
    wire finished = i == n && j == m && a == k;
    wire [63:0] in_word = in_gap[i];
    wire [63:0] next_in_word = in_gap[i + 1];
$DECLARE

    $TOP dut (
        .clk(clk),
        .rst(rst),
        .s_axis_tdata(in_data[i]),
        .s_axis_tvalid(s_valid),
        .s_axis_tready(s_ready),
        .s_axis_tlast(in_word[0]),
$PORTS
        .m_axis_tdata(m_data),
        .m_axis_tvalid(m_valid),
        .m_axis_tready(m_ready),
        .m_axis_tlast(m_last),
        .m_axis_tuser(m_user)
    );

    task stop(input [63:0] status);
        begin
            result[0] <= status;
            result[1] <= cycle;
            result[2] <= i;
            result[3] <= j;
            result[4] <= a;
            running <= 0;
            ended <= 1;
        end
    endtask

    always @(posedge clk) begin
        if (start) begin
            $readmemh("settings.hex", settings);
            n = settings[0];
            m = settings[1];
            idle <= settings[2];
            limit <= settings[3];
            in_gap[0] = 0;
            out_stall[0] = 0;
            if (n != 0) begin
                $readmemh("in_data.hex", in_data, 0, n - 1);
                $readmemh("in_gap.hex", in_gap, 0, n - 1);
            end
            if (m != 0) $readmemh("out_stall.hex", out_stall, 0, m - 1);
            k = settings[4];
            a <= 0;
$START
            gap <= in_gap[0] >> 1;
            stall <= out_stall[0];
            i <= 0;
            j <= 0;
            cycle <= 0;
            quiet <= 0;
            rest <= 0;
            held <= 0;
            resets <= RESET;
            running <= 1;
            ended <= 0;
            done <= 0;
        end else if (ended) begin
            $writememh("result.hex", result);
            if (n != 0) $writememh("in_cycle.hex", in_cycle, 0, n - 1);
$FINISH
            if (m != 0) begin
                $writememh("out_data.hex", out_data, 0, m - 1);
                $writememh("out_mark.hex", out_mark, 0, m - 1);
            end
            ended <= 0;
            done <= 1;
        end else if (running && resets != 0) begin
            resets <= resets - 1;
        end else if (running && finished && rest == idle) begin
            stop(OK);
        end else if (running && held && !(m_valid === 1'b1 && m_data === held_data
                && m_last === held_last && m_user === held_user)) begin
            stop(WITHDRAWN);
        end else if (running && m_valid && j == m) begin
            stop(EXTRA);
$REFUSE
        end else if (running) begin
            cycle <= cycle + 1;
            rest <= finished ? rest + 1 : 0;
            held <= m_valid && !m_ready;
            held_data <= m_data;
            held_last <= m_last;
            held_user <= m_user;
            if (gap != 0) gap <= gap - 1;
            if (stall != 0) stall <= stall - 1;
            if (s_valid && s_ready) begin
                in_cycle[i] <= cycle;
                i <= i + 1;
                gap <= i + 1 == n ? 0 : next_in_word >> 1;
            end
            if (m_valid && m_ready) begin
                out_data[j] <= m_data;
                out_mark[j] <= {cycle[61:0], m_user, m_last};
                j <= j + 1;
                stall <= j + 1 == m ? 0 : out_stall[j + 1];
            end
            if ((s_valid && s_ready) || (m_valid && m_ready)) quiet <= 0;
            else if (gap == 0 && stall == 0) begin
                quiet <= quiet + 1;
                if (quiet + 1 == limit && !finished) stop(HUNG);
            end
$STEP
        end
    end
endmodule
"""

_NO_REGISTERS = {"$DECLARE": "    assign pending = 0;\n"}
_REGISTERS = {
    "$DECLARE": r"""
    reg rq_write [0:TRANSACTIONS-1];
    reg [ADDRESS_BITS-1:0] rq_address [0:TRANSACTIONS-1];
    reg [31:0] rq_word [0:TRANSACTIONS-1];
    reg [63:0] rq_before [0:TRANSACTIONS-1];
    reg [63:0] rq_after [0:TRANSACTIONS-1];
    reg [31:0] an_word [0:TRANSACTIONS-1];
    reg [63:0] an_cycle [0:TRANSACTIONS-1];
    reg begun, taken;
    assign pending = active && a != k && rq_before[a] == i;
    wire requested = begun || (pending && rq_after[a] <= j);
    wire request = requested && !taken;
    wire aw_ready, w_ready, ar_ready, b_valid, r_valid;
    wire [1:0] b_error, r_error;
    wire [31:0] r_word;
    wire answered = requested && (b_valid || r_valid);
    wire failed = answered && (b_valid ? b_error : r_error) != 0;
""",
    "$PORTS": r"""        .s_axil_awaddr(rq_address[a]),
        .s_axil_awvalid(request && rq_write[a]),
        .s_axil_awready(aw_ready),
        .s_axil_wdata(rq_word[a]),
        .s_axil_wstrb(4'hf),
        .s_axil_wvalid(request && rq_write[a]),
        .s_axil_wready(w_ready),
        .s_axil_bresp(b_error),
        .s_axil_bvalid(b_valid),
        .s_axil_bready(1'b1),
        .s_axil_araddr(rq_address[a]),
        .s_axil_arvalid(request && !rq_write[a]),
        .s_axil_arready(ar_ready),
        .s_axil_rdata(r_word),
        .s_axil_rresp(r_error),
        .s_axil_rvalid(r_valid),
        .s_axil_rready(1'b1),
""",
    "$START": r"""            if (k != 0) begin
                $readmemh("rq_write.hex", rq_write, 0, k - 1);
                $readmemh("rq_address.hex", rq_address, 0, k - 1);
                $readmemh("rq_word.hex", rq_word, 0, k - 1);
                $readmemh("rq_before.hex", rq_before, 0, k - 1);
                $readmemh("rq_after.hex", rq_after, 0, k - 1);
            end
            begun <= 0;
            taken <= 0;
""",
    "$FINISH": r"""            if (k != 0) begin
                $writememh("an_word.hex", an_word, 0, k - 1);
                $writememh("an_cycle.hex", an_cycle, 0, k - 1);
            end
""",
    "$REFUSE": r"""        end else if (running && failed) begin
            stop(REFUSED);
""",
    "$STEP": r"""            begun <= requested && !answered;
            taken <= requested && !answered && (taken || aw_ready || ar_ready);
            if (answered) begin
                an_word[a] <= b_valid ? 0 : r_word;
                an_cycle[a] <= cycle;
                a <= a + 1;
                quiet <= 0;
            end
""",
}

_BENCH = r"""module bench;
    reg clk, start;
    wire done;
    reg [8191:0] name;
    harness harness (.clk(clk), .start(start), .done(done));

    always #1 clk = ~clk;
    initial begin
        clk = 0;
        start = 1;
        if ($value$plusargs("vcd=%s", name)) begin
            $dumpfile(name);
            $dumpvars(0, harness.dut);
        end
        @(posedge clk);
        #1 start = 0;
        wait (done);
        $finish;
    end
endmodule
"""
